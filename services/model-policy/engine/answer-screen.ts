/**
 * The guard over a streamed answer. What it lets through, joined, is what it would have made of the whole: text goes out
 * as soon as no finding can reach into it any more, and a tool call when its arguments are complete, since they are
 * judged value by value and stay valid JSON.
 */
import type { ModelToolCall } from '../../../generated/types/index.ts';
import { readArguments } from '../ports/answer-assembly.ts';
import type { ProviderChunk } from '../ports/provider.ts';
import type { Judgement } from '../policy/evaluate.ts';
import { guarded } from '../policy/guard.ts';
import type { StreamRedactor } from '../policy/stream-redactor.ts';

export type AnswerPiece = Extract<ProviderChunk, { readonly type: 'content' | 'tool_call' }>;

interface CallInParts {
  readonly first: Extract<ProviderChunk, { readonly type: 'tool_call' }>;
  written: string;
}

export class AnswerScreen {
  readonly #judgement: Judgement;
  readonly #onError: (error: unknown) => void;
  readonly #calls: CallInParts[] = [];
  readonly #redactor: StreamRedactor;

  constructor(judgement: Judgement, onError: (error: unknown) => void) {
    judgement.turnToAnswer();
    this.#judgement = judgement;
    this.#onError = onError;
    this.#redactor = judgement.redactor('/output/message/content');
  }

  push(chunk: AnswerPiece): AnswerPiece[] {
    if (chunk.type === 'content') return this.#content(() => this.#redactor.feed(chunk.text));
    const call = this.#calls[chunk.index];
    if (call === undefined) {
      this.#calls[chunk.index] = { first: chunk, written: chunk.argumentsDelta };
      const { name = '', toolId = name } = chunk;
      guarded(this.#judgement, null, (judgement) => (judgement.tool({ tool_id: toolId, name }), null), this.#onError);
    } else call.written += chunk.argumentsDelta;
    return this.#judgement.isIdle ? [chunk] : [];
  }

  /** The last pieces, once the backend has said that nothing follows. */
  end(): AnswerPiece[] {
    const pieces = this.#content(() => this.#redactor.flush());
    if (this.#judgement.isIdle) return pieces;
    for (const [index, { first, written }] of this.#calls.entries()) {
      const input = readArguments(written) as ModelToolCall['input'];
      const judged = guarded(this.#judgement, input, (judgement, value) => judgement.value(value, `/output/tool_calls/${index}/input`) as ModelToolCall['input'], this.#onError);
      pieces.push({ ...first, argumentsDelta: judged === input ? written : typeof judged === 'string' ? judged : JSON.stringify(judged) });
    }
    return pieces;
  }

  #content(judge: () => string): AnswerPiece[] {
    const text = guarded(this.#judgement, '', judge, this.#onError);
    return text === '' ? [] : [{ type: 'content', text }];
  }
}
