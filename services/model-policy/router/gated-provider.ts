/**
 * A backend behind its own door: at most so many calls at once, always a count of those inside, and a circuit that
 * learns from each of them, on whatever way the call came.
 */
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

  async *chatStream(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk> {
    await this.#open(options);
    // A reader that leaves early has seen it work, or has not waited for it.
    let outcome: Outcome = 'gave_up';
    try {
      for await (const chunk of this.#inner.chatStream(auth, request, options)) {
        outcome = null;
        yield chunk;
      }
    } catch (error) {
      outcome = outcomeOf(error, options.signal);
      throw error;
    } finally {
      this.#close(outcome);
    }
  }

  async #within<Answer>(options: ProviderCallOptions, call: () => Promise<Answer>): Promise<Answer> {
    await this.#open(options);
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

  async #open(options: ProviderCallOptions): Promise<void> {
    if (this.#inside < this.#most) this.#inside += 1;
    else await this.#enter(options);
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

type Outcome = Parameters<Circuit['ended']>[0];

function outcomeOf(error: unknown, signal: AbortSignal): Outcome {
  if (signal.aborted) return 'gave_up';
  return error instanceof AgentOsError ? error.code : 'internal_error';
}
