/**
 * The worker: claims runs while it has free slots, executes them, and keeps their leases.
 *
 * Three loops. Claiming asks the queue whenever a slot is free and work may be there (a wake-up, or the poll at
 * least every second). Keeping extends all leases in one statement every `heartbeatMs`; what is no longer held, and
 * everything when no heartbeat has succeeded for a whole lease, is abandoned; a run that another process wrote to is
 * looked at right away. Stopping claims no more, lets what is nearly done finish, abandons the rest and gives the
 * leases back, so that another worker need not wait them out.
 *
 * A worker decides nothing about policy: which runs may exist, which tools may run and which model answers is decided
 * elsewhere (PRS 4, HLD 10.2).
 */
import type { Logger } from 'pino';
import { newId } from '../../platform/ids.ts';
import type { ClaimedRun, QueuePort, WorkerIdentity } from '../ports/queue.ts';
import { runFailed, runStarted } from '../events/drafts.ts';
import type { Seat } from './handover.ts';
import { retryDelayMs } from './retry.ts';
import { executeRun, type ExecutionEnd, type ExecutorDependencies } from './executor.ts';

export interface WorkerOptions {
  /** Runs executed at once. */
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** Longest wait for a wake-up. */
  readonly pollMs: number;
  readonly maxAttempts: number;
  /** Pause before a run whose execution broke is claimed again. */
  readonly releaseDelayMs: number;
}

const DEFAULT_WORKER_OPTIONS: WorkerOptions = {
  concurrency: 64,
  leaseMs: 10_000,
  heartbeatMs: 3_000,
  pollMs: 1_000,
  maxAttempts: 5,
  releaseDelayMs: 1_000,
};

interface ActiveRun {
  readonly claimed: ClaimedRun;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export interface WorkerMetrics {
  readonly onEnd?: (end: ExecutionEnd | 'broken', claimed: ClaimedRun, durationMs: number) => void;
  readonly onClaim?: (count: number, reclaimed: number) => void;
}

export class Worker {
  readonly identity: WorkerIdentity;
  readonly #queue: QueuePort;
  readonly #executor: ExecutorDependencies;
  readonly #options: WorkerOptions;
  readonly #log: Logger;
  readonly #metrics: WorkerMetrics;
  readonly #active = new Map<string, ActiveRun>();
  /** Slots kept for runs that are being created. */
  #reserved = 0;
  /** When the queue was asked last. */
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** No more claims. */
  readonly #stopping = new AbortController();
  /** No more runs, so no more heartbeats. */
  readonly #ended = new AbortController();
  #slotFreed: (() => void) | null = null;
  #loops: Promise<unknown> = Promise.resolve();
  #deafen: () => void = () => undefined;

  constructor(queue: QueuePort, executor: Omit<ExecutorDependencies, 'queue'>, options: Partial<WorkerOptions> = {}, metrics: WorkerMetrics = {}) {
    this.identity = { workerId: newId('wrk') };
    this.#queue = queue;
    this.#executor = { ...executor, queue };
    this.#options = { ...DEFAULT_WORKER_OPTIONS, ...options };
    this.#log = executor.log.child({ worker_id: this.identity.workerId });
    this.#metrics = metrics;
  }

  /** Runs being executed now. */
  get active(): number {
    return this.#active.size;
  }

  start(): void {
    this.#deafen = this.#queue.onWrittenElsewhere?.((tenantId, runId, lastSequence) => void this.#check(tenantId, runId, lastSequence)) ?? this.#deafen;
    this.#loops = Promise.all([this.#claimLoop(), this.#heartbeatLoop()]);
  }

  /** A slot for a run that is being created; none while runs that wait, or were lost by others, have not been looked for. */
  reserve(): Seat | null {
    const { concurrency, pollMs, leaseMs } = this.#options;
    if (this.#stopping.signal.aborted || this.#active.size + this.#reserved >= concurrency || performance.now() - this.#lookedMs > 2 * pollMs) return null;
    this.#reserved += 1;
    let open = true;
    const leave = (): boolean => {
      if (!open) return false;
      open = false;
      this.#reserved -= 1;
      return true;
    };
    const free = (): void => {
      if (leave()) this.#slotFreed?.();
    };
    const take = async (claimed: ClaimedRun): Promise<void> => {
      leave();
      if (this.#stopping.signal.aborted) await this.#queue.release(claimed.run.auth, claimed.lease, 0);
      else this.#launch(claimed);
    };
    return { workerId: this.identity.workerId, leaseMs, take, free };
  }

  /** Abandons a run that this worker executes, e.g. because it was canceled; nothing happens for others. */
  abandon(tenantId: string, runId: string): void {
    this.#active.get(keyOf(tenantId, runId))?.abort.abort();
  }

  /** Stops claiming, waits up to `drainMs` for what runs, abandons the rest, gives back the leases. */
  async stop(drainMs = 0): Promise<void> {
    this.#stopping.abort();
    const settled = Promise.all([...this.#active.values()].map((run) => run.done));
    if (drainMs > 0) await Promise.race([settled, pause(drainMs)]);
    for (const run of this.#active.values()) run.abort.abort();
    await Promise.all([...this.#active.values()].map((run) => run.done));
    this.#ended.abort();
    this.#deafen();
    await this.#loops;
  }

  async #claimLoop(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const free = this.#options.concurrency - this.#active.size - this.#reserved;
      if (free <= 0) {
        await this.#waitForSlot(signal);
        continue;
      }
      try {
        const claimed = await this.#claim(free);
        this.#lookedMs = performance.now();
        failures = 0;
        for (const run of claimed) this.#launch(run);
        if (claimed.length < free) await this.#queue.waitForWork(this.#options.pollMs, signal);
      } catch (error) {
        failures += 1;
        this.#log.warn({ err: error, failures }, 'Claiming failed; trying again.');
        await this.#executor.clock.sleep(Math.min(2_000, 50 * 2 ** failures), signal);
      }
    }
  }

  async #claim(limit: number): Promise<readonly ClaimedRun[]> {
    const givenUp = new Map<string, { readonly tenantId: string; readonly runId: string; readonly attempts: number }>();
    const claimed = await this.#queue.claim(this.identity, {
      limit,
      leaseMs: this.#options.leaseMs,
      maxAttempts: this.#options.maxAttempts,
      started: ({ runId }) => runStarted(runId),
      poisoned: (run) => {
        givenUp.set(keyOf(run.tenantId, run.runId), run);
        return runFailed(run.runId, {
          code: 'internal_error',
          message: `The run was given up: ${run.attempts} workers in a row lost it or broke on it, and none got it a step further.`,
          retryable: false,
          details: { reason: 'poisoned', attempts: run.attempts },
        });
      },
    });
    for (const run of givenUp.values()) this.#log.error({ run_id: run.runId, tenant_id: run.tenantId, status: 'failed', reason: 'poisoned', attempts: run.attempts }, 'Run ended.');
    if (claimed.length > 0) this.#metrics.onClaim?.(claimed.length, claimed.filter(({ run }) => run.attempts > 1).length);
    return claimed;
  }

  #launch(claimed: ClaimedRun): void {
    const { tenantId, runId } = claimed.lease;
    const key = keyOf(tenantId, runId);
    const abort = new AbortController();
    // The same run can come back to this worker while the execution that lost it is still winding down.
    const before = this.#active.get(key);
    before?.abort.abort();
    this.#executor.events.announce(claimed.run.auth, runId, claimed.run.lastSequence);
    const done = (before?.done ?? Promise.resolve())
      .then(() => this.#execute(claimed, abort))
      .finally(() => {
        if (this.#active.get(key)?.abort === abort) this.#active.delete(key);
        this.#slotFreed?.();
      });
    this.#active.set(key, { claimed, abort, done });
  }

  async #execute(claimed: ClaimedRun, abort: AbortController): Promise<void> {
    const startedMs = performance.now();
    const { lease, run } = claimed;
    let end: ExecutionEnd | 'broken';
    try {
      end = await executeRun(this.#executor, claimed, abort.signal);
    } catch (error) {
      end = 'broken';
      this.#log.error({ err: error, tenant_id: run.tenantId, run_id: run.runId, correlation_id: run.correlationId, attempts: run.attempts }, 'The execution of a run broke; it will be claimed again.');
    }
    this.#metrics.onEnd?.(end, claimed, performance.now() - startedMs);
    if (end !== 'aborted' && end !== 'broken') return;
    try {
      // Nothing happens where the lease was lost; where it was not, the next worker need not wait for it to run out. To
      // give back without a pause does not count as an attempt, so a run that breaks its workers always pauses.
      await this.#queue.release(run.auth, lease, end === 'broken' ? Math.max(1, retryDelayMs(run.attempts, { baseMs: this.#options.releaseDelayMs, maxMs: 60_000 }, this.#executor.clock.random(), undefined)) : 0);
    } catch (error) {
      this.#log.warn({ err: error, run_id: run.runId }, 'A lease could not be given back; it will run out.');
    }
  }

  async #heartbeatLoop(): Promise<void> {
    const { signal } = this.#ended;
    let lastSuccessMs = this.#executor.clock.now();
    for (;;) {
      await this.#executor.clock.sleep(this.#options.heartbeatMs, signal);
      if (signal.aborted) return;
      const runs = [...this.#active.values()];
      if (runs.length === 0) {
        lastSuccessMs = this.#executor.clock.now();
        continue;
      }
      const sentMs = this.#executor.clock.now();
      try {
        const lost = await this.#queue.heartbeat(this.identity, runs.map((run) => run.claimed.lease), this.#options.leaseMs);
        lastSuccessMs = sentMs;
        const tokens = new Set(lost.map((lease) => lease.token));
        for (const run of runs) if (tokens.has(run.claimed.lease.token)) run.abort.abort();
      } catch (error) {
        this.#log.warn({ err: error, runs: runs.length }, 'Leases could not be extended.');
        if (this.#executor.clock.now() - lastSuccessMs > this.#options.leaseMs) for (const run of runs) run.abort.abort();
      }
    }
  }

  /** Another process wrote to a run that is executed here: it was canceled, or is no longer held. */
  async #check(tenantId: string, runId: string, lastSequence: number): Promise<void> {
    const run = this.#active.get(keyOf(tenantId, runId));
    // The news of a run's creation can come after its claim.
    if (run === undefined || lastSequence <= run.claimed.run.lastSequence) return;
    // What cannot be asked now is asked by the next heartbeat.
    const lost = await this.#queue.heartbeat(this.identity, [run.claimed.lease], this.#options.leaseMs).catch(() => []);
    if (lost.length > 0) run.abort.abort();
  }

  #waitForSlot(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#slotFreed = null;
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#slotFreed = wake;
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

const keyOf = (tenantId: string, runId: string): string => `${tenantId}/${runId}`;

const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs).unref());
