/** POST /v1/embeddings: the engine of `invokeModel` as OpenAI's clients ask it for vectors. */
import type { ModelRequest, OpenaiEmbeddingsRequest } from '../../../generated/types/index.ts';
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Engine } from '../engine/engine.ts';
import { account } from '../surfaces/openai-chat-answer.ts';
import { refusal } from '../surfaces/openai-refusal.ts';

export function createEmbeddings(engine: Engine): ModelPolicyHandlers['createEmbeddings'] {
  return async ({ body, auth, context }) => {
    const response = await engine.invoke(auth, toEmbedRequest(body, context.requestId), {
      signal: context.departure, traceparent: context.traceparent, correlationId: context.correlationId, surface: 'openai', repeatable: false,
    });
    const { output, usage } = response;
    return {
      status: 200,
      body: {
        object: 'list',
        data: 'embeddings' in output ? output.embeddings.map(({ index, vector }) => ({ object: 'embedding' as const, index, embedding: vector })) : [],
        model: response.route.model,
        usage: { prompt_tokens: usage.input_tokens, total_tokens: usage.total_tokens, cost_usd: usage.cost_usd ?? null, estimated: usage.estimated === true },
        ...account(response),
        correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id,
      },
    };
  };
}

/** @throws AgentOsError invalid_request for lists of tokens: what policy cannot read does not pass. */
function toEmbedRequest({ input, model, encoding_format: encoding, dimensions }: OpenaiEmbeddingsRequest, requestId: string): ModelRequest {
  const texts = typeof input === 'string' ? [input] : input;
  if (texts.length === 0) throw refusal('/input', 'must hold at least one text');
  const bad = texts.findIndex((text) => typeof text !== 'string');
  if (bad >= 0) throw refusal(`/input/${bad}`, 'must be a text: lists of tokens are not offered');
  return {
    request_id: requestId, operation: 'embed', model_ref: model,
    input: { texts: texts as string[], ...(encoding === undefined ? {} : { encoding_format: encoding }), ...(dimensions === undefined ? {} : { dimensions }) },
  };
}
