/**
 * Circuit breakers: a backend that fails again and again is left alone for a while, so that its callers are answered
 * by another one, or at once. And rests: a model whose backend said when to come back is not asked before.
 *
 * Closed, every call goes through. Failures in a row, or too large a share of failures lately, open the circuit. When
 * its time is over, or a probe has succeeded, one call may try; it closes the circuit or opens it for twice as long.
 */
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';

export type CircuitState = 'closed' | 'open' | 'half_open';

export interface CircuitSettings {
  /** Failures in a row that open it. */
  readonly failureThreshold: number;
  readonly openMs: number;
}

export const DEFAULT_CIRCUIT: CircuitSettings = { failureThreshold: 5, openMs: 10_000 };

const WINDOW_MS = 30_000;
const WINDOW_CALLS = 20;
const WINDOW_FAILURES = 0.5;
const LONGEST_OPEN_MS = 120_000;
/** A backend may ask for a day; it is looked at again sooner. */
const LONGEST_REST_MS = 60_000;

/** Failures that say something about the backend and not about the request. */
const BACKEND_FAILURES: ReadonlySet<ErrorCode> = new Set(['dependency_unavailable', 'timeout', 'internal_error']);

export class Circuit {
  readonly #settings: CircuitSettings;
  readonly #now: () => number;
  #state: CircuitState = 'closed';
  #inRow = 0;
  #openUntil = 0;
  #openMs: number;
  /** Whether the one call of a half-open circuit is under way. */
  #isTrying = false;
  #windowFrom: number;
  #calls = 0;
  #failures = 0;
  /** Whether the last call or probe succeeded. */
  healthy = true;
  /** The last probe failed, and no call has succeeded since. */
  isDoubtful = false;

  constructor(settings: CircuitSettings = DEFAULT_CIRCUIT, now: () => number = () => performance.now()) {
    this.#settings = settings;
    this.#now = now;
    this.#openMs = settings.openMs;
    this.#windowFrom = now();
  }

  get state(): CircuitState {
    return this.#state === 'open' && this.#now() >= this.#openUntil ? 'half_open' : this.#state;
  }

  /** Whether a call would be let through now. */
  get allows(): boolean {
    const state = this.state;
    return state === 'closed' || (state === 'half_open' && !this.#isTrying);
  }

  /** Milliseconds until a call may try; 0 when it may now. */
  get opensInMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.#now()) : 0;
  }

  /** False: the call must not be made. Otherwise `ended` has to follow. */
  enter(): boolean {
    const state = this.state;
    if (state === 'closed') return true;
    if (state === 'open' || this.#isTrying) return false;
    this.#state = 'half_open';
    this.#isTrying = true;
    return true;
  }

  /** @param error null: it answered. `gave_up`: its caller left, which says nothing. */
  ended(error: ErrorCode | 'gave_up' | null): void {
    if (error === 'gave_up') this.#isTrying = false;
    else if (error !== null && BACKEND_FAILURES.has(error)) this.#failed();
    else this.#succeeded();
  }

  probed(ok: boolean): void {
    this.healthy = ok;
    this.isDoubtful = !ok;
    if (ok && this.#state === 'open') this.#openUntil = this.#now();
  }

  #succeeded(): void {
    this.healthy = true;
    this.isDoubtful = false;
    this.#inRow = 0;
    this.#count(false);
    if (this.#state !== 'half_open') return;
    this.#isTrying = false;
    this.#state = 'closed';
    this.#openMs = this.#settings.openMs;
    this.#startWindow();
  }

  #failed(): void {
    this.healthy = false;
    this.#inRow += 1;
    this.#count(true);
    if (this.#state === 'half_open') {
      this.#openMs = Math.min(this.#openMs * 2, Math.max(LONGEST_OPEN_MS, this.#settings.openMs));
      this.#open();
    } else if (this.#state === 'closed' && (this.#inRow >= this.#settings.failureThreshold || (this.#calls >= WINDOW_CALLS && this.#failures / this.#calls > WINDOW_FAILURES))) this.#open();
  }

  #open(): void {
    this.#state = 'open';
    this.#isTrying = false;
    this.#inRow = 0;
    this.#openUntil = this.#now() + this.#openMs;
    this.#startWindow();
  }

  #count(failed: boolean): void {
    if (this.#now() - this.#windowFrom > WINDOW_MS) this.#startWindow();
    this.#calls += 1;
    if (failed) this.#failures += 1;
  }

  #startWindow(): void {
    this.#windowFrom = this.#now();
    this.#calls = 0;
    this.#failures = 0;
  }
}

export function circuitOpen(backends: readonly string[], opensInMs: number): AgentOsError {
  return new AgentOsError('dependency_unavailable', {
    message: `Backend ${backends.join(', ')} failed again and again and is left alone for a moment. Retry-After says when it is tried again.`,
    details: { reason: 'circuit_open', backends },
    retryAfterSeconds: Math.max(1, Math.ceil(opensInMs / 1000)),
  });
}

/** When models may be asked again, by backend and model. */
export class Rests {
  readonly #until = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  note(backend: string, model: string, retryAfterSeconds: number): void {
    if (retryAfterSeconds > 0) this.#until.set(`${backend} ${model}`, this.#now() + Math.min(retryAfterSeconds * 1000, LONGEST_REST_MS));
  }

  /** Milliseconds; 0: it may be asked now. */
  leftMs(backend: string, model: string): number {
    if (this.#until.size === 0) return 0;
    const key = `${backend} ${model}`;
    const until = this.#until.get(key);
    if (until === undefined) return 0;
    const leftMs = until - this.#now();
    if (leftMs > 0) return leftMs;
    this.#until.delete(key);
    return 0;
  }
}
