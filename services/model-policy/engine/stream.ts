/**
 * A call's answer piece by piece. A piece is asked of the backend when the caller has taken the one before, so a slow
 * reader slows the backend and nothing piles up.
 *
 * Once a backend has begun, there is no other one: a stream that breaks, a guard that refuses, or a caller who goes away
 * ends the call at the backend, and what it had used by then is booked as partial.
 */
import type { ModelResponse } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { AnswerAssembly } from '../ports/answer-assembly.ts';
import type { ProviderChunk, ProviderUsage } from '../ports/provider.ts';
import type { CatalogueModel } from '../router/catalogue.ts';
import type { OpenHold } from './accounts.ts';
import { noteUsage, toResponse } from './answer.ts';
import { AnswerScreen, type AnswerPiece } from './answer-screen.ts';
import { askBackends } from './attempts.ts';
import type { GovernedCall } from './govern.ts';
import { OutputMeter } from './output-meter.ts';
import { refuseBlocked } from './policy-gate.ts';
import { chatRequestOf } from './work.ts';

export type AnswerEvent = AnswerPiece | { readonly type: 'completed'; readonly response: ModelResponse };

export interface AnswerStream {
  /** That serves, as `route.model` names it. */
  readonly model: string;
  /** To be read once: pieces, then exactly one `completed`; or a throw. Leaving the loop early ends the call. */
  readonly events: AsyncIterable<AnswerEvent>;
  /** What became of it: rejects when it was not completed. */
  readonly response: Promise<ModelResponse>;
  /** What was charged; null before its end. */
  readonly charged: () => ModelResponse['usage'] | null;
}

type Chunks = AsyncIterator<ProviderChunk>;

interface Begun {
  readonly chunks: Chunks;
  readonly first: IteratorResult<ProviderChunk>;
}

/** Text and arguments of one answer; a backend that does not stop is stopped. */
const MAX_ANSWER_CHARACTERS = 16_000_000;

/** @param charged as of `answerWhole` */
export async function openAnswerStream(call: GovernedCall, charged: () => Promise<void>): Promise<AnswerStream> {
  const { work, auth, request, options } = call;
  if (work.operation !== 'chat') throw new AgentOsError('invalid_request', { message: 'Only a chat is streamed.', details: { errors: [{ path: '/stream', message: 'must be false for an embedding' }] } });
  const served = await askBackends<Begun>(call, async (model, maxOutputTokens) => {
    const chunks = model.provider.chatStream(auth, chatRequestOf(model, work, request.generation ?? {}, maxOutputTokens), options)[Symbol.asyncIterator]();
    return { chunks, first: await chunks.next() };
    // How it went is told when it has ended.
  }, () => undefined);
  call.record.firstByteMs = call.record.elapsedMs();
  return new StreamedCall(call, served.model, served.fallbackUsed, served.hold, served.answer, charged);
}

class StreamedCall implements AnswerStream {
  readonly model: string;
  readonly events: AsyncIterable<AnswerEvent>;
  readonly response: Promise<ModelResponse>;
  readonly #call: GovernedCall;
  readonly #model: CatalogueModel;
  readonly #fallbackUsed: boolean;
  readonly #hold: OpenHold;
  readonly #begun: Begun;
  readonly #charged: () => Promise<void>;
  readonly #meter = new OutputMeter();
  readonly #assembly = new AnswerAssembly();
  readonly #started = performance.now();
  #usage: ProviderUsage | null = null;
  /** Whether the failure was the backend's: a refusal of ours, a store that is away or a caller who leaves is not. */
  #broke = false;
  #reading = false;
  #ended: Promise<void> | null = null;
  #resolve!: (response: ModelResponse) => void;
  #reject!: (error: unknown) => void;

  constructor(call: GovernedCall, model: CatalogueModel, fallbackUsed: boolean, hold: OpenHold, begun: Begun, charged: () => Promise<void>) {
    this.#call = call;
    this.#model = model;
    this.model = model.backendModel;
    this.#fallbackUsed = fallbackUsed;
    this.#hold = hold;
    this.#begun = begun;
    this.#charged = charged;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Not everybody asks for it.
    this.response.catch(() => undefined);
    this.events = this.#events();
    // An iterator that is never asked has no end of its own.
    const { signal } = call.options;
    const onAbort = (): void => { if (!this.#reading) this.#leave().catch(() => undefined); };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  }

  readonly charged = (): ModelResponse['usage'] | null => {
    const { usage, costUsd } = this.#call.record;
    if (usage === null) return null;
    const { inputTokens, outputTokens, estimated } = usage;
    return { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: inputTokens + outputTokens, cost_usd: costUsd, estimated };
  };

  /** The backend's pieces as the guard lets them through. One loop: each generator more is three turns of the microtask queue a piece. */
  async *#events(): AsyncGenerator<AnswerEvent, void, void> {
    this.#reading = true;
    let failure: unknown;
    try {
      const { parts, judgement } = this.#call;
      const screen = new AnswerScreen(judgement, parts.observer.guardFailed);
      for (let next = this.#begun.first; next.done !== true; next = await this.#next()) {
        const chunk = next.value;
        this.#meter.add(chunk);
        if (this.#meter.characters > MAX_ANSWER_CHARACTERS) this.#blame(tooLong(this.#model.backend));
        if (chunk.type === 'usage') this.#usage = chunk.usage;
        if (chunk.type === 'finish' || chunk.type === 'usage') this.#assembly.add(chunk);
        else for (const piece of this.#passed(screen.push(chunk))) yield piece;
      }
      for (const piece of this.#passed(screen.end())) yield piece;
      const response = await this.#complete();
      yield { type: 'completed', response };
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      await this.#leave(failure);
    }
  }

  async #next(): Promise<IteratorResult<ProviderChunk>> {
    try {
      return await this.#begun.chunks.next();
    } catch (error) {
      this.#blame(error);
    }
  }

  #passed(pieces: readonly AnswerPiece[]): readonly AnswerPiece[] {
    // What was let through before the finding is not taken back; nothing goes out after it.
    refuseBlocked(this.#call.parts, this.#call.judgement);
    for (const piece of pieces) this.#assembly.add(piece);
    return pieces;
  }

  /** Settled before the caller hears that it is complete. */
  async #complete(): Promise<ModelResponse> {
    const answer = this.#assembly.answer();
    if (answer === null) this.#blame(truncated(this.#model.backend));
    const { inputTokens, outputTokens, estimated } = answer.usage;
    noteUsage(this.#call, this.#model, { inputTokens, outputTokens, estimated: estimated === true });
    this.#call.record.verdict = this.#call.judgement.verdict();
    await Promise.all([this.#hold.settle({ inputTokens, outputTokens, estimated: estimated === true, fallbackUsed: this.#fallbackUsed }), this.#charged(), this.#call.parts.traces.keep(this.#call.record, 'ok')]);
    this.#tellAttempt(null);
    const response = toResponse(this.#call, this.#model, this.#fallbackUsed, answer);
    this.#ended = Promise.resolve();
    this.#resolve(response);
    return response;
  }

  /** For every end but a complete one. @param failure undefined: the caller left. */
  #leave(failure?: unknown): Promise<void> {
    return (this.#ended ??= this.#endPartial(failure));
  }

  async #endPartial(failure: unknown): Promise<void> {
    const { record, inputTokens, options, parts, judgement, plan } = this.#call;
    const left = failure === undefined || options.signal.aborted;
    const outcome = left ? 'client_closed' : failure instanceof AgentOsError ? failure.code : 'internal_error';
    this.#reject(failure ?? new AgentOsError('timeout', { message: 'The caller has gone.' }));
    const usage = { inputTokens: this.#usage?.inputTokens ?? inputTokens, outputTokens: this.#usage?.outputTokens ?? this.#meter.tokens, estimated: this.#usage === null || this.#usage.estimated === true };
    noteUsage(this.#call, this.#model, usage);
    try {
      // Not awaited: a backend that hangs is cut off by the signal or its own time-out, and the account does not wait for it.
      void this.#begun.chunks.return?.()?.catch(() => undefined);
      await this.#hold.settle({ ...usage, partial: true, fallbackUsed: this.#fallbackUsed });
    } finally {
      if (this.#broke && !left) {
        this.#tellAttempt(failure);
        parts.router.brokeOff(plan, this.#model);
      }
      record.verdict = judgement.verdict();
      parts.observer.finished(record.end(outcome));
      await parts.traces.keepFailed(record, outcome, failure);
    }
  }

  #blame(error: unknown): never {
    this.#broke = true;
    throw error;
  }

  #tellAttempt(failure: unknown): void {
    const { parts, record } = this.#call;
    const latencyMs = Math.round(performance.now() - this.#started);
    const error = failure === null ? null : failure instanceof AgentOsError ? failure.code : 'internal_error';
    const attempt = { backend: this.#model.backend, model: this.#model.modelId, error, latencyMs };
    const last = record.attempts.pop();
    if (last !== undefined) record.attempts.push({ ...last, ...attempt });
    parts.observer.attempted(attempt);
  }
}

function truncated(backend: string): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} ended its stream without an end mark.`, details: { reason: 'stream_truncated', backend } });
}

function tooLong(backend: string): AgentOsError {
  return new AgentOsError('dependency_unavailable', {
    message: `Backend ${backend} sent more than ${MAX_ANSWER_CHARACTERS} characters in one answer and was cut off. Set max_output_tokens.`,
    retryable: false, details: { reason: 'answer_too_long', backend },
  });
}
