/** A chat's answer as OpenAI's clients read it, with the account of PRS 6.2 in members of its own. */
import type { ModelResponse, OpenaiChatChunk, OpenaiChatResponse, OpenaiError } from '../../../generated/types/index.ts';
import type { AnswerEvent, AnswerStream } from '../engine/stream.ts';
import { toHttpError } from '../../platform/http/errors.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';

export interface AnswerContext {
  readonly requestId: string;
  readonly correlation_id: string;
  readonly traceparent: string;
  readonly tenant_id: string;
}

export function toChatResponse(response: ModelResponse, { requestId, ...context }: AnswerContext): OpenaiChatResponse {
  const message = 'message' in response.output ? response.output.message : null;
  const calls = 'message' in response.output ? (response.output.tool_calls ?? []) : [];
  return {
    id: completionId(requestId),
    object: 'chat.completion',
    created: seconds(),
    model: response.route.model,
    choices: [{
      index: 0,
      message: {
        role: 'assistant', content: calls.length > 0 && message?.content === '' ? null : (message?.content ?? null), refusal: null,
        ...(calls.length === 0 ? {} : { tool_calls: calls.map((call, index) => ({ id: call.tool_call_id ?? `call_${index}`, type: 'function', function: { name: call.name, arguments: argumentsText(call.input) } })) }),
      },
      logprobs: null,
      finish_reason: finishReason(response),
    }],
    usage: chatUsage(response),
    ...account(response), ...context,
  };
}

/** Chunks, the last with the account; then the end mark, or in its place the error that broke the stream. */
export async function* chatFrames(stream: AnswerStream, includeUsage: boolean, { requestId, ...context }: AnswerContext): AsyncGenerator<SseFrame, void, void> {
  const common = { id: completionId(requestId), object: 'chat.completion.chunk' as const, created: seconds(), model: stream.model };
  const chunk = (delta: Delta, finish: string | null = null): OpenaiChatChunk => ({
    ...common, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...(includeUsage ? { usage: null } : {}),
  });
  // Chunks of text differ in their text alone, so what stands around it is written once. Inside a string its quotes would be escaped.
  const [before, behind] = JSON.stringify(chunk({ content: '' })).split('"content":""');
  try {
    // The backend has begun; its first words may have to wait for policy.
    yield frame(chunk({ role: 'assistant', content: '' }));
    for await (const event of stream.events) {
      if (event.type === 'content') yield { data: `${before}"content":${JSON.stringify(event.text)}${behind}` };
      else if (event.type !== 'completed') yield frame(chunk(toDelta(event)));
      else {
        const { response } = event;
        const last = { ...account(response), ...context };
        yield frame({ ...chunk({}, finishReason(response)), ...(includeUsage ? {} : last) });
        if (includeUsage) yield frame({ ...common, choices: [], usage: chatUsage(response), ...last });
        yield { data: '[DONE]' };
      }
    }
  } catch (error) {
    yield frame(toHttpError(error, context.correlation_id, context.tenant_id, 'openai').body as OpenaiError);
  }
}

type Delta = OpenaiChatChunk['choices'][number]['delta'];

function toDelta(event: Extract<AnswerEvent, { readonly type: 'tool_call' }>): Delta {
  const { index, id, name, argumentsDelta } = event;
  const isFirst = id !== undefined || name !== undefined;
  return { tool_calls: [{ index, ...(isFirst ? { id: id ?? `call_${index}`, type: 'function' } : {}), function: { ...(name === undefined ? {} : { name }), arguments: argumentsDelta } }] };
}

export function account({ latency_ms, policy_outcome, route }: ModelResponse): Pick<OpenaiChatResponse, 'latency_ms' | 'policy_outcome' | 'route'> {
  return { latency_ms, policy_outcome, route };
}

function chatUsage({ usage }: ModelResponse): OpenaiChatResponse['usage'] {
  return { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens, total_tokens: usage.total_tokens, cost_usd: usage.cost_usd ?? null, estimated: usage.estimated === true };
}

function finishReason({ output }: ModelResponse): string {
  return ('message' in output ? output.finish_reason : undefined) ?? 'stop';
}

/** What a model wrote in place of JSON goes on as it wrote it. */
function argumentsText(input: unknown): string {
  return typeof input === 'string' ? input : JSON.stringify(input ?? {});
}

function completionId(requestId: string): string {
  return `chatcmpl-${requestId}`;
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

function frame(body: OpenaiChatChunk | OpenaiError): SseFrame {
  return { data: JSON.stringify(body) };
}
