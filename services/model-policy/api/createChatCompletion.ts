/** POST /v1/chat/completions: the engine of `invokeModel` as OpenAI's clients speak to it, streamed and not. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Engine } from '../engine/engine.ts';
import { chatFrames, toChatResponse } from '../surfaces/openai-chat-answer.ts';
import { toChatRequest } from '../surfaces/openai-chat-request.ts';

export function createChatCompletion(engine: Engine): ModelPolicyHandlers['createChatCompletion'] {
  return async ({ body, auth, context }) => {
    const request = toChatRequest(body, context.requestId);
    const options = { signal: context.departure, traceparent: context.traceparent, correlationId: context.correlationId, surface: 'openai' as const, repeatable: false };
    const answer = { requestId: context.requestId, correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id };
    if (body.stream !== true) return { status: 200, body: toChatResponse(await engine.invoke(auth, request, options), answer) };
    const stream = await engine.stream(auth, request, options);
    return { status: 200, stream: chatFrames(stream, body.stream_options?.include_usage === true, answer), endsByItself: true };
  };
}
