/** Forwards are forgotten when the run that they lead to is, on a node that keeps runs as long as this one does. */
import type { Logger } from 'pino';
import type { ForwardIndexPort } from '../ports/forward-index.ts';

export interface ForwardRetentionOptions {
  /** Days that runs are kept after their end; 0 keeps them for ever. */
  readonly runDays: number;
  readonly intervalMs: number;
  /** Forwards deleted in one transaction. */
  readonly batch: number;
  readonly log: Logger;
}

const DAY_MS = 86_400_000;
/** Between the beginning of a forward and the end of its run. */
const LONGEST_RUN_DAYS = 1;

/** Answers what stops it. */
export function keepForwardsShort(index: Pick<ForwardIndexPort, 'deleteExpired'>, { runDays, intervalMs, batch, log }: ForwardRetentionOptions): () => Promise<void> {
  if (runDays === 0) return async () => {};
  let stopped = false;
  let sweeping: Promise<void> = Promise.resolve();
  const sweep = async (): Promise<void> => {
    const before = new Date(Date.now() - (runDays + LONGEST_RUN_DAYS) * DAY_MS).toISOString();
    try {
      while (!stopped && (await index.deleteExpired(before, batch)) === batch);
    } catch (error) {
      log.warn({ err: error }, 'Old forwards could not be deleted; trying again later.');
    }
  };
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    sweeping = sweep().finally(() => (busy = false));
  }, intervalMs).unref();
  return async () => {
    stopped = true;
    clearInterval(timer);
    await sweeping;
  };
}
