/**
 * Wake-ups inside one process: "there may be work" and "this run has events up to n". Hints alone: every waiter also
 * has a time after which it looks for itself. Both adapter families stand on it; the Postgres family also passes
 * hints between processes.
 *
 * A hint that comes between a look and the wait that follows must not be lost, so hints leave a trace: work sets a
 * flag that the next claim clears, and the newest sequence of recently announced runs is remembered.
 */
interface Waiter {
  readonly after: number;
  readonly wake: () => void;
}

/** Runs whose newest sequence is remembered; the oldest is forgotten first, and costs its readers one poll. */
const REMEMBERED_RUNS = 20_000;

export class WakeHub {
  #work = false;
  readonly #workWaiters = new Set<() => void>();
  readonly #announced = new Map<string, number>();
  readonly #runWaiters = new Map<string, Set<Waiter>>();

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
    for (const waiter of [...(this.#runWaiters.get(run) ?? [])]) if (lastSequence > waiter.after) waiter.wake();
  }

  waitForRun(run: string, after: number, maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if ((this.#announced.get(run) ?? 0) > after) return Promise.resolve();
    return waitUntil(maxWaitMs, signal, (wake) => {
      const waiter: Waiter = { after, wake };
      const waiters = this.#runWaiters.get(run) ?? new Set();
      this.#runWaiters.set(run, waiters.add(waiter));
      return () => {
        waiters.delete(waiter);
        if (waiters.size === 0 && this.#runWaiters.get(run) === waiters) this.#runWaiters.delete(run);
      };
    });
  }

  /** The newest sequence that was announced of a run; 0 when nothing is remembered. */
  announced(run: string): number {
    return this.#announced.get(run) ?? 0;
  }

  /** Wakes everybody: after hints may have been missed, e.g. when a notification connection came back. */
  wakeAll(): void {
    this.signalWork();
    for (const waiters of [...this.#runWaiters.values()]) for (const waiter of [...waiters]) waiter.wake();
  }

  /** Waiters of all kinds, for leak checks. */
  get waiting(): number {
    let count = this.#workWaiters.size;
    for (const waiters of this.#runWaiters.values()) count += waiters.size;
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
