/**
 * A circuit breaker: keeps calls away from a dependency that does not answer, so that those who would call it fail at
 * once and not after their own time, holding what others need meanwhile.
 *
 * Closed, every call goes through and its outcome is counted over a sliding window. Enough failures in a row, or a large
 * enough share of enough calls, open it. Open, every call is refused until a pause has passed; then it is half open: one
 * call at a time is let through as a probe. A probe that succeeds closes it, one that fails opens it again for twice as
 * long, up to a bound. What counts as failure is the caller's to say: an answer is an answer, also when it is an error.
 */
export type CircuitState = 'closed' | 'open' | 'half_open';

export interface CircuitOptions {
  /** Opens after so many failures without a success between them. */
  readonly consecutiveFailures: number;
  /** Opens when this share of the window's calls failed … */
  readonly failureRatio: number;
  /** … and there were at least so many. */
  readonly minCalls: number;
  readonly windowMs: number;
  /** First pause. */
  readonly openMs: number;
  readonly maxOpenMs: number;
  readonly now?: () => number;
  readonly onState?: (state: CircuitState) => void;
}

export const DEFAULT_CIRCUIT: CircuitOptions = { consecutiveFailures: 10, failureRatio: 0.5, minCalls: 20, windowMs: 10_000, openMs: 1_000, maxOpenMs: 5_000 };

/** The right to make one call; one of its methods is called when the outcome is known. Only the first that is called counts. */
export interface CircuitPass {
  /** Everybody else is refused until this one's outcome is known: the sooner the better. */
  readonly isProbe: boolean;
  succeeded(): void;
  failed(): void;
  /** The outcome says nothing about the dependency: the caller gave up, or ran out of its own short time. */
  unknown(): void;
}

export type CircuitAdmission = { readonly pass: CircuitPass } | { readonly refusedForMs: number };

const BUCKETS = 10;

interface Bucket {
  slot: number;
  calls: number;
  failures: number;
}

export class CircuitBreaker {
  readonly #options: CircuitOptions;
  readonly #now: () => number;
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => ({ slot: -1, calls: 0, failures: 0 }));
  #state: CircuitState = 'closed';
  #inRow = 0;
  #openUntilMs = 0;
  #pauseMs: number;
  #probing = false;

  constructor(options: Partial<CircuitOptions> = {}) {
    this.#options = { ...DEFAULT_CIRCUIT, ...options };
    this.#now = this.#options.now ?? (() => performance.now());
    this.#pauseMs = this.#options.openMs;
  }

  get state(): CircuitState {
    return this.#state;
  }

  enter(): CircuitAdmission {
    if (this.#state === 'closed') return { pass: this.#pass(false) };
    const waitMs = this.#openUntilMs - this.#now();
    if (waitMs > 0) return { refusedForMs: waitMs };
    if (this.#probing) return { refusedForMs: this.#options.openMs };
    this.#probing = true;
    this.#become('half_open');
    return { pass: this.#pass(true) };
  }

  #pass(probe: boolean): CircuitPass {
    let settled = false;
    const settle = (count: () => void): void => {
      if (settled) return;
      settled = true;
      if (probe) this.#probing = false;
      count();
    };
    return {
      isProbe: probe,
      succeeded: () => settle(() => this.#succeeded(probe)),
      failed: () => settle(() => this.#failed(probe)),
      unknown: () => settle(() => undefined),
    };
  }

  #succeeded(probe: boolean): void {
    this.#inRow = 0;
    if (this.#state === 'closed') {
      this.#bucket().calls += 1;
      return;
    }
    // A call from before it opened that succeeds late says little; the probe's success says that it is there again.
    if (!probe) return;
    this.#pauseMs = this.#options.openMs;
    for (const bucket of this.#buckets) bucket.slot = -1;
    this.#become('closed');
  }

  #failed(probe: boolean): void {
    if (this.#state !== 'closed') {
      if (!probe) return;
      this.#pauseMs = Math.min(this.#options.maxOpenMs, this.#pauseMs * 2);
      this.#open();
      return;
    }
    this.#inRow += 1;
    const bucket = this.#bucket();
    bucket.calls += 1;
    bucket.failures += 1;
    if (this.#inRow >= this.#options.consecutiveFailures || this.#tooMany()) this.#open();
  }

  #open(): void {
    this.#openUntilMs = this.#now() + this.#pauseMs;
    this.#inRow = 0;
    this.#become('open');
  }

  #become(state: CircuitState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState?.(state);
  }

  #slot(): number {
    return Math.floor(this.#now() / (this.#options.windowMs / BUCKETS));
  }

  #bucket(): Bucket {
    const slot = this.#slot();
    const bucket = this.#buckets[slot % BUCKETS]!;
    if (bucket.slot !== slot) Object.assign(bucket, { slot, calls: 0, failures: 0 });
    return bucket;
  }

  #tooMany(): boolean {
    const oldest = this.#slot() - BUCKETS;
    let calls = 0;
    let failures = 0;
    for (const bucket of this.#buckets) {
      if (bucket.slot <= oldest) continue;
      calls += bucket.calls;
      failures += bucket.failures;
    }
    return calls >= this.#options.minCalls && failures / calls >= this.#options.failureRatio;
  }
}
