/** What following a run has in common, wherever it executes: its events until the last one, and its end. */
import type { Event, Run, RunStatus } from '../../generated/types/index.ts';
import type { ApiPromise } from './api-promise.ts';
import { readRunEvents, type EventStreamOptions } from './event-stream.ts';
import type { Session } from './session.ts';

const ENDED: ReadonlySet<RunStatus> = new Set(['completed', 'failed', 'canceled'] satisfies RunStatus[]);

export interface FollowedRun {
  get(): PromiseLike<Run>;
  /** One connection to its stream, after this sequence. */
  open(after: number): ApiPromise<unknown>;
}

export function followRun(session: Session, run: FollowedRun, options: EventStreamOptions): AsyncGenerator<Event, void> {
  return readRunEvents(
    {
      open: async (after) => (await run.open(after).withResponse()).data as ReadableStream<Uint8Array> | null,
      hasEnded: async () => ENDED.has((await run.get()).status),
    },
    session.options,
    options,
  );
}
