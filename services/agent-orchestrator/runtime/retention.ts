/**
 * Retention: what has ended long ago is deleted in the background, so that the tables of a node do not grow for ever
 * (PRS 4.2; on unless configuration says 0 days). A run goes with all its events at once, so whoever reads a run finds
 * its whole log or no run. Idempotency records go when they have expired and their run is not under way.
 *
 * Deleting goes in batches with a pause after each, which leaves the database to those who wait for it.
 */
import type { Logger } from 'pino';
import { newId } from '../../platform/ids.ts';
import type { RunStatePort } from '../ports/run-state.ts';
import type { RetryClock } from './retry.ts';

export interface RetentionOptions {
  /** Days after its end that a run is kept; 0 keeps it for ever. */
  readonly runDays: number;
  /** Between two looks for something to delete. */
  readonly intervalMs: number;
  /** Runs, and idempotency records, deleted in one transaction. */
  readonly batch: number;
  /** After each batch. */
  readonly pauseMs: number;
}

const DEFAULT_RETENTION: RetentionOptions = { runDays: 30, intervalMs: 60_000, batch: 500, pauseMs: 200 };

export interface RetentionDependencies {
  readonly runState: Pick<RunStatePort, 'deleteExpired'>;
  readonly clock: RetryClock;
  readonly log: Logger;
  readonly onDeleted?: (deleted: { readonly runs: number; readonly keys: number }) => void;
}

const DAY_MS = 86_400_000;

export class Retention {
  readonly #dependencies: RetentionDependencies;
  readonly #options: RetentionOptions;
  readonly #worker = { workerId: newId('wrk') };
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(dependencies: RetentionDependencies, options: Partial<RetentionOptions> = {}) {
    this.#dependencies = dependencies;
    this.#options = { ...DEFAULT_RETENTION, ...options };
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** Deletes batch after batch until nothing is left for now; answers how much went. */
  async sweep(): Promise<{ readonly runs: number; readonly keys: number }> {
    const { runState, clock, onDeleted } = this.#dependencies;
    const { runDays, batch, pauseMs } = this.#options;
    const total = { runs: 0, keys: 0 };
    for (;;) {
      const endedBefore = runDays === 0 ? null : new Date(clock.now() - runDays * DAY_MS).toISOString();
      const deleted = await runState.deleteExpired(this.#worker, { endedBefore, limit: batch });
      total.runs += deleted.runs;
      total.keys += deleted.keys;
      if (deleted.runs + deleted.keys > 0) onDeleted?.(deleted);
      if ((deleted.runs < batch && deleted.keys < batch) || this.#stopping.signal.aborted) return total;
      await clock.sleep(pauseMs, this.#stopping.signal);
    }
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#dependencies;
    const { signal } = this.#stopping;
    for (;;) {
      // Spread, so that the processes of a node that started together do not all look at once.
      await clock.sleep(this.#options.intervalMs * (0.5 + clock.random()), signal);
      if (signal.aborted) return;
      try {
        const { runs, keys } = await this.sweep();
        if (runs + keys > 0) log.info({ runs, idempotency_records: keys }, 'Deleted what was past its time.');
      } catch (error) {
        log.warn({ err: error }, 'What is past its time could not be deleted; trying again later.');
      }
    }
  }
}
