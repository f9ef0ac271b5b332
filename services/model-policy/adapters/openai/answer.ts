/** Answers in OpenAI's wire format, read leniently: servers leave out usage, send null content, or arguments that are no JSON. */
import type { ModelToolCall } from '../../../../generated/types/index.ts';
import { readArguments } from '../../ports/answer-assembly.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderEmbedAnswer } from '../../ports/provider.ts';
import { asArray, asObject, isCount, textOf, type Json } from '../wire/json.ts';
import type { CallIds, FunctionNames } from '../wire/tools.ts';
import { chatUsage, embedUsage, readVectors } from '../wire/usage.ts';

/** null when the answer has no choice with a message. */
export function readChatAnswer(body: unknown, request: ProviderChatRequest, names: FunctionNames, ids: CallIds): ProviderChatAnswer | null {
  const choice = asObject(asArray(asObject(body)?.['choices'])?.[0]);
  const message = asObject(choice?.['message']);
  if (choice === null || message === null) return null;
  const content = readContent(message['content']) || readContent(message['refusal']);
  const toolCalls: ModelToolCall[] = [];
  for (const raw of asArray(message['tool_calls']) ?? []) {
    const named = asObject(asObject(raw)?.['function']);
    const name = textOf(named, 'name');
    if (name === '') continue;
    toolCalls.push({ tool_call_id: ids.idOf(asObject(raw)?.['id'], toolCalls.length, name), ...names.toolOf(name), input: readArguments(named?.['arguments']) });
  }
  const usage = readCounts(asObject(asObject(body)?.['usage']));
  return {
    message: { role: 'assistant', content },
    toolCalls,
    usage: chatUsage(usage.input, usage.output, request, () => content + toolCalls.map((call) => `${call.name}${JSON.stringify(call.input ?? null)}`).join('')),
    finishReason: readFinishReason(choice['finish_reason'], toolCalls.length > 0),
  };
}

/** Text, or the text parts of a list of parts. */
export function readContent(content: unknown): string {
  if (typeof content === 'string') return content;
  return (asArray(content) ?? []).map((part) => textOf(asObject(part), 'text')).join('');
}

/** Input and output tokens; a total stands in for the output that is left out. */
export function readCounts(usage: Json | null): { readonly input: unknown; readonly output: unknown } {
  const input = usage?.['prompt_tokens'];
  const output = usage?.['completion_tokens'];
  const total = usage?.['total_tokens'];
  if (isCount(output) || !isCount(input)) return { input, output };
  return { input, output: isCount(total) ? Math.max(0, total - input) : 0 };
}

export function readFinishReason(raw: unknown, hasCalls: boolean): ProviderChatAnswer['finishReason'] {
  if (raw === 'length' || raw === 'content_filter') return raw;
  return hasCalls ? 'tool_calls' : 'stop';
}

/** null when vectors are missing or are no numbers. */
export function readEmbedAnswer(body: unknown, texts: readonly string[]): ProviderEmbedAnswer | null {
  const data = asArray(asObject(body)?.['data']);
  if (data === null) return null;
  const ordered = new Array<unknown>(texts.length).fill(null);
  for (const [position, raw] of data.entries()) {
    const entry = asObject(raw);
    const index = typeof entry?.['index'] === 'number' ? entry['index'] : position;
    if (index < 0 || index >= texts.length) return null;
    ordered[index] = entry?.['embedding'];
  }
  const vectors = readVectors(ordered, texts.length);
  return vectors === null ? null : { vectors, usage: embedUsage(asObject(asObject(body)?.['usage'])?.['prompt_tokens'], texts) };
}
