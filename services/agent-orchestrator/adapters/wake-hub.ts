/**
 * Wake-ups inside one process: "there may be work" and "this run has events up to n". Hints alone: every waiter also
 * has a time after which it looks for itself. Both adapter families stand on it; the Postgres family also passes
 * hints between processes.
 *
 * A hint that comes between a look and the wait that follows must not be lost, so hints leave a trace: work sets a
 * flag that the next claim clears, and the newest sequence of recently announced runs is remembered.
 *
 * Thousands of readers wait at a time, and wait again after each event. What a wait leaves in memory lives as long as
 * it does, about as long as the collector's young generation, which copies whatever lives: so a reader's wait is one
 * small object, a run's readers share a timer, and a reader's signal is listened to once. No Set holds them: see
 * `platform/roster.ts`.
 */
interface Waiter {
  readonly after: number;
  /** When it looks for itself, by `performance.now`. */
  readonly dueMs: number;
  readonly readers: RunReaders;
  /** Those that the same signal ends; hardly ever more than one. */
  readonly together: Waiter[];
  readonly resolve: () => void;
  /** Its place among the run's. */
  at: number;
}

/** Who waits for events of one run. */
class RunReaders {
  #waiters: Waiter[] = [];
  readonly #onIdle: () => void;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Number.POSITIVE_INFINITY;

  /** @param onIdle nobody waits, and nobody came back. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  get size(): number {
    return this.#waiters.length;
  }

  add(waiter: Waiter): void {
    waiter.at = this.#waiters.push(waiter) - 1;
    waiter.together.push(waiter);
    if (waiter.dueMs < this.#timerDueMs) this.#arm(waiter.dueMs);
  }

  wake(isMeant: (waiter: Waiter) => boolean): void {
    const waited = this.#waiters;
    this.#waiters = [];
    for (const waiter of waited) {
      if (isMeant(waiter)) release(waiter);
      else waiter.at = this.#waiters.push(waiter) - 1;
    }
  }

  /** As `wake`, of one that does not come back. */
  leave(waiter: Waiter): void {
    const last = this.#waiters.pop()!;
    if (last !== waiter) {
      last.at = waiter.at;
      this.#waiters[waiter.at] = last;
    }
    release(waiter);
    if (this.#waiters.length === 0) this.#rest();
  }

  /** Stays when all were woken: they wait again in a moment, and whoever is not due then is not woken. */
  #arm(dueMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(() => this.#onDue(), Math.max(1, dueMs - performance.now())).unref();
  }

  #onDue(): void {
    this.#timer = null;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const nowMs = performance.now();
    // Timers count whole milliseconds.
    this.wake(({ dueMs }) => dueMs <= nowMs + 1);
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#waiters) nextMs = Math.min(nextMs, dueMs);
    if (nextMs === Number.POSITIVE_INFINITY) this.#rest();
    else this.#arm(nextMs);
  }

  #rest(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    this.#onIdle();
  }
}

function release(waiter: Waiter): void {
  const { together } = waiter;
  const last = together.pop()!;
  if (last !== waiter) together[together.indexOf(waiter)] = last;
  waiter.resolve();
}

/** Runs whose newest sequence is remembered; the oldest is forgotten first, and costs its readers one poll. */
const REMEMBERED_RUNS = 20_000;

export class WakeHub {
  #work = false;
  readonly #workWaiters = new Set<() => void>();
  readonly #announced = new Map<string, number>();
  readonly #readers = new Map<string, RunReaders>();
  /** Waiters by the signal that ends them. */
  readonly #bySignal = new WeakMap<AbortSignal, Waiter[]>();

  signalWork(): void {
    this.#work = true;
    for (const wake of [...this.#workWaiters]) wake();
  }

  /** To be called before a claim looks: hints up to here are answered by that look. */
  workSeen(): void {
    this.#work = false;
  }

  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#work) return Promise.resolve();
    return waitUntil(maxWaitMs, signal, (wake) => {
      this.#workWaiters.add(wake);
      return () => this.#workWaiters.delete(wake);
    });
  }

  signalRun(run: string, lastSequence: number): void {
    const known = this.#announced.get(run);
    this.#announced.delete(run);
    this.#announced.set(run, Math.max(known ?? 0, lastSequence));
    if (this.#announced.size > REMEMBERED_RUNS) this.#announced.delete(this.#announced.keys().next().value!);
    this.#readers.get(run)?.wake(({ after }) => lastSequence > after);
  }

  waitForRun(run: string, after: number, maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if ((this.#announced.get(run) ?? 0) > after) return Promise.resolve();
    if (signal.aborted || maxWaitMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const readers = this.#readersOf(run);
      readers.add({ after, dueMs: performance.now() + maxWaitMs, readers, together: this.#endedBy(signal), resolve, at: 0 });
    });
  }

  #readersOf(run: string): RunReaders {
    const known = this.#readers.get(run);
    if (known !== undefined) return known;
    const readers = new RunReaders(() => this.#readers.delete(run));
    this.#readers.set(run, readers);
    return readers;
  }

  #endedBy(signal: AbortSignal): Waiter[] {
    const known = this.#bySignal.get(signal);
    if (known !== undefined) return known;
    const together: Waiter[] = [];
    this.#bySignal.set(signal, together);
    signal.addEventListener('abort', () => [...together].forEach((waiter) => waiter.readers.leave(waiter)), { once: true });
    return together;
  }

  /** The newest sequence that was announced of a run; 0 when nothing is remembered. */
  announced(run: string): number {
    return this.#announced.get(run) ?? 0;
  }

  /** Wakes everybody: after hints may have been missed, e.g. when a notification connection came back. */
  wakeAll(): void {
    this.signalWork();
    for (const readers of this.#readers.values()) readers.wake(() => true);
  }

  /** Waiters of all kinds, for leak checks. */
  get waiting(): number {
    let count = this.#workWaiters.size;
    for (const { size } of this.#readers.values()) count += size;
    return count;
  }
}

export const runKey = (tenantId: string, runId: string): string => `${tenantId}\u001f${runId}`;

function waitUntil(maxWaitMs: number, signal: AbortSignal, subscribe: (wake: () => void) => () => void): Promise<void> {
  if (signal.aborted || maxWaitMs <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      unsubscribe();
      resolve();
    };
    const timer = setTimeout(wake, maxWaitMs);
    signal.addEventListener('abort', wake, { once: true });
    const unsubscribe = subscribe(wake);
  });
}
