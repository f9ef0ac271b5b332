/**
 * A backend behind its own door: at most so many calls at once, always a count of those inside, and a circuit that
 * learns from each of them, on whatever way the call came.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type {
  ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort,
} from '../ports/provider.ts';
import { circuitOpen, type Circuit } from './circuit.ts';

/** Times the number of calls at once; beyond it a call is refused, because it would only time out in line. */
const LINE_FACTOR = 16;

export class GatedProvider implements ProviderPort {
  readonly backend: string;
  readonly circuit: Circuit;
  readonly #inner: ProviderPort;
  readonly #most: number;
  readonly #waitMs: number;
  readonly #line: (() => void)[] = [];
  #inside = 0;

  /** @param backend its name in configuration @param most calls at once @param waitMs longest wait for room */
  constructor(backend: string, inner: ProviderPort, circuit: Circuit, most: number | null, waitMs: number) {
    this.backend = backend;
    this.circuit = circuit;
    this.#inner = inner;
    this.#most = most ?? Number.POSITIVE_INFINITY;
    this.#waitMs = waitMs;
  }

  get node(): string {
    return this.#inner.node;
  }

  get inFlight(): number {
    return this.#inside;
  }

  capabilities(): PortCapabilities {
    return this.#inner.capabilities();
  }

  models(): Promise<readonly ProviderModel[]> {
    return this.#inner.models();
  }

  health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }> {
    return this.#inner.health(signal);
  }

  chat(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    return this.#within(options, () => this.#inner.chat(auth, request, options));
  }

  embed(auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    return this.#within(options, () => this.#inner.embed(auth, request, options));
  }

  chatStream(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk> {
    return { [Symbol.asyncIterator]: () => new GatedStream(() => this.#open(options), (outcome) => this.#close(outcome), () => this.#inner.chatStream(auth, request, options), options.signal) };
  }

  async #within<Answer>(options: ProviderCallOptions, call: () => Promise<Answer>): Promise<Answer> {
    const entering = this.#open(options);
    if (entering !== null) await entering;
    let outcome: Outcome = null;
    try {
      return await call();
    } catch (error) {
      outcome = outcomeOf(error, options.signal);
      throw error;
    } finally {
      this.#close(outcome);
    }
  }

  /** null: the call is inside already. */
  #open(options: ProviderCallOptions): Promise<void> | null {
    if (this.#inside >= this.#most) return this.#enter(options).then(() => this.#passCircuit());
    this.#inside += 1;
    this.#passCircuit();
    return null;
  }

  #passCircuit(): void {
    if (this.circuit.enter()) return;
    this.#leave();
    throw circuitOpen([this.backend], this.circuit.opensInMs);
  }

  #close(outcome: Outcome): void {
    this.circuit.ended(outcome);
    this.#leave();
  }

  async #enter({ signal, onQueued }: ProviderCallOptions): Promise<void> {
    if (this.#line.length >= this.#most * LINE_FACTOR) throw this.#full();
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      const leaveLine = (): void => {
        const place = this.#line.indexOf(admit);
        if (place >= 0) this.#line.splice(place, 1);
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leaveLine();
        reject(new AgentOsError('timeout', { message: 'The caller has gone.', cause: signal.reason }));
      };
      const timer = setTimeout(() => {
        leaveLine();
        reject(this.#full());
      }, this.#waitMs);
      const admit = (): void => {
        leaveLine();
        this.#inside += 1;
        resolve();
      };
      this.#line.push(admit);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
    onQueued?.(performance.now() - startedAt);
  }

  #leave(): void {
    this.#inside -= 1;
    this.#line[0]?.();
  }

  #full(): AgentOsError {
    return new AgentOsError('rate_limited', {
      message: `Backend ${this.backend} serves ${this.#most} calls at once, and more are in line than it would get to in time. Try again, or raise its max_concurrency.`,
      details: { reason: 'backend_concurrency_exceeded', backend: this.backend, limit: this.#most },
    });
  }
}

/** Hands the inner stream's pieces on as they are, and says once what became of it. */
class GatedStream implements AsyncIterator<ProviderChunk, void, void> {
  readonly #open: () => Promise<void> | null;
  readonly #close: (outcome: Outcome) => void;
  readonly #begin: () => AsyncIterable<ProviderChunk>;
  readonly #signal: DepartureSignal;
  #inner: AsyncIterator<ProviderChunk> | null = null;
  #isInside = false;
  #isOver = false;
  // A reader that leaves early has seen it work, or has not waited for it.
  #outcome: Outcome = 'gave_up';

  constructor(open: () => Promise<void> | null, close: (outcome: Outcome) => void, begin: () => AsyncIterable<ProviderChunk>, signal: DepartureSignal) {
    this.#open = open;
    this.#close = close;
    this.#begin = begin;
    this.#signal = signal;
  }

  async next(): Promise<IteratorResult<ProviderChunk, void>> {
    if (this.#isOver) return { done: true, value: undefined };
    try {
      if (this.#inner === null) {
        await this.#open();
        this.#isInside = true;
        // It was left while it stood in line.
        if (this.#isOver) {
          this.#end();
          return { done: true, value: undefined };
        }
        this.#inner = this.#begin()[Symbol.asyncIterator]();
      }
      const next = await this.#inner.next();
      this.#outcome = null;
      if (next.done === true) this.#end();
      return next;
    } catch (error) {
      this.#outcome = outcomeOf(error, this.#signal);
      this.#end();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<ProviderChunk, void>> {
    const inner = this.#isOver ? null : this.#inner;
    this.#isOver = true;
    try {
      await inner?.return?.();
    } finally {
      this.#end();
    }
    return { done: true, value: undefined };
  }

  #end(): void {
    this.#isOver = true;
    if (!this.#isInside) return;
    this.#isInside = false;
    this.#close(this.#outcome);
  }
}

type Outcome = Parameters<Circuit['ended']>[0];

function outcomeOf(error: unknown, signal: DepartureSignal): Outcome {
  if (signal.aborted) return 'gave_up';
  return error instanceof AgentOsError ? error.code : 'internal_error';
}
