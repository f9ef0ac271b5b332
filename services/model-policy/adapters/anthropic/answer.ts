/** Answers of Anthropic's Messages API, whole and streamed. */
import type { ModelToolCall } from '../../../../generated/types/index.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderChunk } from '../../ports/provider.ts';
import { CallPieces } from '../wire/call-pieces.ts';
import { streamFailure, type VendorError } from '../wire/failures.ts';
import { asArray, asObject, isCount, parseJson, textOf, type Json } from '../wire/json.ts';
import type { AnswerReader, StreamEvent } from '../wire/stream-answer.ts';
import type { CallIds, FunctionNames } from '../wire/tools.ts';
import { chatUsage } from '../wire/usage.ts';

/** null when the answer has no content. Blocks of thinking are not part of what is said. */
export function readMessage(raw: unknown, request: ProviderChatRequest, names: FunctionNames, ids: CallIds): ProviderChatAnswer | null {
  const body = asObject(raw);
  const blocks = asArray(body?.['content'])?.map((block) => asObject(block));
  if (body === null || blocks === undefined) return null;
  const content = blocks.filter((block) => block?.['type'] === 'text').map((block) => textOf(block, 'text')).join('');
  const toolCalls: ModelToolCall[] = [];
  for (const block of blocks) {
    const name = textOf(block, 'name');
    if (block?.['type'] !== 'tool_use' || name === '') continue;
    toolCalls.push({ tool_call_id: ids.idOf(block['id'], toolCalls.length, name), ...names.toolOf(name), input: block['input'] ?? {} });
  }
  const usage = asObject(body['usage']);
  return {
    message: { role: 'assistant', content },
    toolCalls,
    usage: chatUsage(inputTokens(usage), usage?.['output_tokens'], request, () => content + toolCalls.map((call) => `${call.name}${JSON.stringify(call.input)}`).join('')),
    finishReason: readStopReason(body['stop_reason'], toolCalls.length > 0),
  };
}

/** What was read from or written to the cache is input all the same. */
function inputTokens(usage: Json | null): unknown {
  if (!isCount(usage?.['input_tokens'])) return undefined;
  return [usage['input_tokens'], usage['cache_creation_input_tokens'], usage['cache_read_input_tokens']].reduce<number>((sum, each) => sum + (isCount(each) ? each : 0), 0);
}

function readStopReason(raw: unknown, hasCalls: boolean): ProviderChatAnswer['finishReason'] {
  if (raw === 'max_tokens' || raw === 'model_context_window_exceeded') return 'length';
  if (raw === 'refusal') return 'content_filter';
  return hasCalls ? 'tool_calls' : 'stop';
}

export class AnthropicStreamReader implements AnswerReader {
  complete = false;
  private readonly parts: { readonly backend: string; readonly request: ProviderChatRequest; readonly readError: (body: unknown) => VendorError };
  private readonly calls: CallPieces;
  private readonly texts: string[] = [];
  private usage: Json = {};
  private stopReason: unknown = null;

  constructor(parts: { readonly backend: string; readonly request: ProviderChatRequest; readonly names: FunctionNames; readonly ids: CallIds; readonly readError: (body: unknown) => VendorError }) {
    this.parts = parts;
    this.calls = new CallPieces(parts.names, parts.ids);
  }

  /** The type stands in the data as well as in the event's name. Types that are not known are passed over, as the vendor asks for. */
  read({ data }: StreamEvent): readonly ProviderChunk[] {
    const body = asObject(parseJson(data));
    switch (body?.['type']) {
      case 'message_start':
        this.usage = { ...asObject(asObject(body['message'])?.['usage']) };
        return [];
      case 'content_block_start':
        return this.startBlock(body['index'], asObject(body['content_block']));
      case 'content_block_delta':
        return this.readDelta(body['index'], asObject(body['delta']));
      case 'message_delta':
        this.usage = { ...this.usage, ...present(asObject(body['usage'])) };
        this.stopReason = asObject(body['delta'])?.['stop_reason'] ?? this.stopReason;
        return [];
      case 'message_stop':
        this.complete = true;
        return [];
      case 'error':
        throw streamFailure(this.parts.backend, this.parts.readError(body));
      default:
        return [];
    }
  }

  /** `message_delta` says how it ended; the event behind it adds nothing. */
  end(): readonly ProviderChunk[] | null {
    if (this.stopReason === null) return null;
    const last = this.calls.end();
    const usage = chatUsage(inputTokens(this.usage), this.usage['output_tokens'], this.parts.request, () => this.texts.join('') + this.calls.written());
    return [...last, { type: 'usage', usage }, { type: 'finish', reason: readStopReason(this.stopReason, this.calls.any) }];
  }

  private startBlock(index: unknown, block: Json | null): readonly ProviderChunk[] {
    if (block?.['type'] === 'text') return this.say(textOf(block, 'text'));
    if (block?.['type'] !== 'tool_use') return [];
    return this.calls.add({ place: isCount(index) ? index : null, id: textOf(block, 'id'), name: textOf(block, 'name'), argumentsDelta: '' });
  }

  private readDelta(index: unknown, delta: Json | null): readonly ProviderChunk[] {
    if (delta?.['type'] === 'text_delta') return this.say(textOf(delta, 'text'));
    if (delta?.['type'] !== 'input_json_delta') return [];
    return this.calls.add({ place: isCount(index) ? index : null, id: '', name: '', argumentsDelta: textOf(delta, 'partial_json') });
  }

  private say(text: string): readonly ProviderChunk[] {
    if (text === '') return [];
    this.texts.push(text);
    return [{ type: 'content', text }];
  }
}

/** The last count repeats members of the first as null where they have not changed. */
function present(usage: Json | null): Json {
  return Object.fromEntries(Object.entries(usage ?? {}).filter(([, value]) => value !== null));
}
