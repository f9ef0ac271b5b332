/**
 * The same request twice is one call (Appendix E.1: `request_id` deduplicates).
 *
 * Who asks while it is under way waits for it; who asks later gets the first answer as long as this process still has
 * it. The claim of an id stands in the store, so that of many processes one makes the call. An answer that is nowhere
 * at hand any more is a conflict: the call was charged, and making it again would charge it twice. So is one whose process
 * has been gone for a while and has left nowhere to read whether it was.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { ModelResponse } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { UsagePort } from '../ports/usage.ts';

interface Known {
  readonly hash: string;
  readonly answer: Promise<ModelResponse>;
  /** `performance.now()`; null while it is under way. */
  doneAt: number | null;
}

export interface Repeatable {
  readonly auth: AuthContext;
  readonly requestId: string;
  readonly hash: string;
  readonly signal: DepartureSignal;
}

const KEEP_MS = 600_000;
const KEEP_ANSWERS = 2_000;
/** Answers beyond this are not kept: embeddings of many texts, mostly. */
const KEEP_CHARACTERS = 64_000;
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 250;

export class Repeats {
  readonly #usage: UsagePort;
  readonly #known = new Map<string, Known>();
  /** Claims that could not be given up when their calls failed. */
  readonly #stuck = new Set<string>();

  constructor(usage: UsagePort) {
    this.#usage = usage;
  }

  /**
   * `make` is called at most once for a request that succeeds; it says with `charged` when the call's account is being
   * settled, so that both are written together. @throws AgentOsError conflict (request_id_used, request_id_reused).
   */
  async once(request: Repeatable, make: (charged: () => Promise<void>) => Promise<ModelResponse>): Promise<{ readonly response: ModelResponse; readonly repeated: boolean }> {
    const key = keyOf(request.auth, request.requestId);
    for (;;) {
      const known = this.#of(key);
      if (known === null) break;
      if (known.hash !== request.hash) throw reused(request.requestId);
      const answer = await abortable(known.answer.catch(() => null), request.signal);
      // It came to nothing, so it has not been made.
      if (answer !== null) return { response: answer, repeated: true };
      if (this.#known.get(key) === known) this.#known.delete(key);
    }
    const answer = this.#make(request, make);
    const known: Known = { hash: request.hash, answer, doneAt: null };
    this.#known.set(key, known);
    try {
      const response = await answer;
      known.doneAt = performance.now();
      if (sizeOf(response) > KEEP_CHARACTERS) this.#known.delete(key);
      this.#forgetOldest();
      return { response, repeated: false };
    } catch (error) {
      if (this.#known.get(key) === known) this.#known.delete(key);
      throw error;
    }
  }

  async #make({ auth, requestId, hash, signal }: Repeatable, make: (charged: () => Promise<void>) => Promise<ModelResponse>): Promise<ModelResponse> {
    await this.#claim(auth, requestId, hash, signal);
    let charged: Promise<void> | null = null;
    try {
      const response = await make(() => (charged ??= this.#usage.endClaim(auth, requestId, true)));
      await (charged ?? this.#usage.endClaim(auth, requestId, true));
      return response;
    } catch (error) {
      // What is done stays done. The caller learns of the call's own failure.
      await this.#usage.endClaim(auth, requestId, false).catch(() => this.#stuck.add(keyOf(auth, requestId)));
      throw error;
    }
  }

  async #claim(auth: AuthContext, requestId: string, hash: string, signal: DepartureSignal): Promise<void> {
    if (this.#stuck.delete(keyOf(auth, requestId))) await this.#usage.endClaim(auth, requestId, false);
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS)) {
      const outcome = await this.#usage.claim(auth, requestId, hash);
      if (outcome === 'claimed') return;
      if (outcome === 'other_request') throw reused(requestId);
      if (outcome === 'done') throw used(requestId, 'was answered and charged before, and its answer is no longer at hand');
      if (outcome === 'lost') throw used(requestId, 'was under way in a process that is gone, and may have been answered and charged');
      await abortable(new Promise((resolve) => setTimeout(resolve, pauseMs)), signal);
    }
  }

  #of(key: string): Known | null {
    const known = this.#known.get(key);
    if (known === undefined) return null;
    if (known.doneAt === null || performance.now() - known.doneAt < KEEP_MS) return known;
    this.#known.delete(key);
    return null;
  }

  #forgetOldest(): void {
    for (const [key, known] of this.#known) {
      if (this.#known.size <= KEEP_ANSWERS) return;
      if (known.doneAt !== null) this.#known.delete(key);
    }
  }
}

const keyOf = (auth: AuthContext, requestId: string): string => `${auth.tenant_id}\n${requestId}`;

function abortable<Value>(work: Promise<Value>, signal: DepartureSignal): Promise<Value> {
  return new Promise<Value>((resolve, reject) => {
    const onAbort = (): void => reject(new AgentOsError('timeout', { message: 'The caller has gone.', cause: signal.reason }));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function sizeOf({ output }: ModelResponse): number {
  if ('message' in output) return (output.message.content?.length ?? 0) + JSON.stringify(output.tool_calls ?? []).length;
  return output.embeddings.reduce((sum, { vector }) => sum + vector.length * (typeof vector === 'string' ? 1 : 8), 0);
}

function reused(requestId: string): AgentOsError {
  return new AgentOsError('conflict', {
    message: `request_id ${requestId} was used for another request within the last day. Take a new one for a new request.`,
    details: { reason: 'request_id_reused', request_id: requestId },
  });
}

function used(requestId: string, how: string): AgentOsError {
  return new AgentOsError('conflict', {
    message: `The request ${requestId} ${how}. Take a new request_id to make the call again.`,
    details: { reason: 'request_id_used', request_id: requestId },
  });
}
