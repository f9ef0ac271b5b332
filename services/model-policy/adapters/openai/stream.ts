/** Streamed chat completions in OpenAI's wire format, and in that of its imitations. */
import type { ProviderChatRequest, ProviderChunk } from '../../ports/provider.ts';
import { CallPieces } from '../wire/call-pieces.ts';
import { streamFailure, type VendorError } from '../wire/failures.ts';
import { asArray, asObject, isCount, parseJson, textOf, type Json } from '../wire/json.ts';
import type { AnswerReader, StreamEvent } from '../wire/stream-answer.ts';
import type { CallIds, FunctionNames } from '../wire/tools.ts';
import { chatUsage } from '../wire/usage.ts';
import { readContent, readCounts, readFinishReason } from './answer.ts';

export interface OpenAiStreamParts {
  readonly backend: string;
  readonly request: ProviderChatRequest;
  readonly names: FunctionNames;
  readonly ids: CallIds;
  readonly readError: (body: unknown) => VendorError;
}

export class OpenAiStreamReader implements AnswerReader {
  complete = false;
  private readonly parts: OpenAiStreamParts;
  private readonly calls: CallPieces;
  private readonly texts: string[] = [];
  private finishReason: unknown = null;
  private usage: Json | null = null;

  constructor(parts: OpenAiStreamParts) {
    this.parts = parts;
    this.calls = new CallPieces(parts.names, parts.ids);
  }

  read({ data }: StreamEvent): readonly ProviderChunk[] {
    if (data === '[DONE]') {
      this.complete = true;
      return [];
    }
    const body = asObject(parseJson(data));
    // A piece of an event, where the connection broke: the end tells that the answer is not complete.
    if (body === null) return [];
    if (isError(body)) throw streamFailure(this.parts.backend, this.parts.readError(body));
    if (asObject(body['usage']) !== null) this.usage = asObject(body['usage']);
    const choice = asObject(asArray(body['choices'])?.[0]);
    if (choice === null) return [];
    const chunks = this.readDelta(asObject(choice['delta']));
    if (typeof choice['finish_reason'] === 'string' && choice['finish_reason'] !== '') this.finishReason = choice['finish_reason'];
    return chunks;
  }

  /** Many imitations leave `[DONE]` out; the finish reason ends an answer as well. */
  end(): readonly ProviderChunk[] | null {
    if (this.finishReason === null && !this.complete) return null;
    const last = this.calls.end();
    const { input, output } = readCounts(this.usage);
    const usage = chatUsage(input, output, this.parts.request, () => this.texts.join('') + this.calls.written());
    return [...last, { type: 'usage', usage }, { type: 'finish', reason: readFinishReason(this.finishReason, this.calls.any) }];
  }

  private readDelta(delta: Json | null): ProviderChunk[] {
    if (delta === null) return [];
    const chunks: ProviderChunk[] = [];
    const text = readContent(delta['content']) || readContent(delta['refusal']);
    if (text !== '') {
      this.texts.push(text);
      chunks.push({ type: 'content', text });
    }
    // Older TGI sends one call in place of a list.
    for (const raw of asArray(delta['tool_calls']) ?? [delta['tool_calls']]) {
      const call = asObject(raw);
      if (call === null) continue;
      const named = asObject(call['function']);
      const given = named?.['arguments'];
      chunks.push(...this.calls.add({
        place: isCount(call['index']) ? call['index'] : null,
        id: textOf(call, 'id'), name: textOf(named, 'name'),
        argumentsDelta: typeof given === 'string' ? given : given === undefined || given === null ? '' : JSON.stringify(given),
      }));
    }
    return chunks;
  }
}

/** `{error: …}`, or vLLM's older `{object: 'error', message, code}`. */
function isError(body: Json): boolean {
  return (body['error'] !== undefined && body['error'] !== null) || body['object'] === 'error';
}
