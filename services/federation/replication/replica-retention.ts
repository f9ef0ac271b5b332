/** Copies are kept as long as runs are: from the last thing that was stored of them. The list of copied runs goes with the index of forwards. */
import type { Logger } from 'pino';
import type { ReplicaPort } from '../ports/replica.ts';
import type { FollowList } from './follow-list.ts';
import { sleepUntil } from './waiting.ts';

export interface ReplicaRetentionOptions {
  /** Days; 0 keeps copies for ever. */
  readonly runDays: number;
  readonly intervalMs: number;
  /** Runs deleted in one transaction. */
  readonly batch: number;
  readonly pauseMs?: number;
}

export interface ReplicaRetentionParts {
  readonly replica: Pick<ReplicaPort, 'deleteExpired'>;
  readonly list: Pick<FollowList, 'forget'>;
  readonly log: Logger;
}

const DAY_MS = 86_400_000;
const PAUSE_MS = 200;

/** Deletes in batches until nothing is left for now; answers how many runs went. */
export async function sweepReplicas({ replica, list }: ReplicaRetentionParts, { runDays, batch, pauseMs = PAUSE_MS }: ReplicaRetentionOptions, signal: AbortSignal): Promise<number> {
  const storedBefore = new Date(Date.now() - runDays * DAY_MS);
  let total = 0;
  for (;;) {
    const [runs, forgotten] = [await replica.deleteExpired({ storedBefore, limit: batch }), await list.forget(batch)];
    total += runs;
    if ((runs < batch && forgotten < batch) || signal.aborted) return total;
    await sleepUntil(pauseMs, signal);
  }
}

/** Answers what stops it. */
export function keepReplicasShort(parts: ReplicaRetentionParts, options: ReplicaRetentionOptions): () => Promise<void> {
  if (options.runDays === 0) return async () => {};
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    for (;;) {
      await sleepUntil(options.intervalMs * (0.5 + Math.random()), stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        const runs = await sweepReplicas(parts, options, stopping.signal);
        if (runs > 0) parts.log.info({ runs }, 'Deleted copies of runs that were past their time.');
      } catch (error) {
        parts.log.warn({ err: error }, 'Copies that are past their time could not be deleted; trying again later.');
      }
    }
  };
  const running = loop();
  return async () => {
    stopping.abort();
    await running;
  };
}
