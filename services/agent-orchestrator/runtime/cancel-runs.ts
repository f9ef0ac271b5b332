/**
 * Cancelling a run and everything that it has set going. The run itself is ended first, so that it starts nothing more;
 * then its children, and theirs. A child that this misses, because the process dies in between, is ended by the worker
 * that claims it next: a run whose caller has ended has nobody to answer.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { EventPort } from '../ports/events.ts';
import type { QueuePort } from '../ports/queue.ts';
import type { RunRecord, RunStatePort } from '../ports/run-state.ts';
import { runCanceled } from '../events/drafts.ts';
import type { EndedRunObserver } from './executor.ts';

export interface CancelDependencies {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly events: EventPort;
  /** Tells the workers of this process that a run has ended, so that they stop at once. */
  readonly abandon?: (tenantId: string, runId: string) => void;
  readonly onEnded?: EndedRunObserver;
}

const PAGE = 100;

/** @throws AgentOsError not_found, invalid_state_transition. */
export async function cancelRunAndChildren(dependencies: CancelDependencies, auth: AuthContext, runId: string): Promise<RunRecord> {
  const run = await cancelOne(dependencies, auth, runId);
  // A run that no worker has taken has called nobody.
  if (run.startedAt !== null) await cancelChildren(dependencies, auth, runId);
  return run;
}

/** Ends the children of a run that has ended, whatever they are at. */
export async function cancelChildren(dependencies: CancelDependencies, auth: AuthContext, parentRunId: string): Promise<void> {
  for (let after: string | undefined; ; ) {
    const page = await dependencies.runState.listRuns(auth, { parentRunId, status: ['queued', 'running'], limit: PAGE, ...(after === undefined ? {} : { after }) });
    await Promise.all(page.runs.map((child) => cancelUnlessEnded(dependencies, auth, child.runId)));
    after = page.runs.at(-1)?.runId;
    if (!page.hasMore) return;
  }
}

async function cancelUnlessEnded(dependencies: CancelDependencies, auth: AuthContext, runId: string): Promise<void> {
  try {
    await cancelRunAndChildren(dependencies, auth, runId);
  } catch (error) {
    if (!(error instanceof AgentOsError) || error.code !== 'invalid_state_transition') throw error;
  }
}

async function cancelOne({ runState, queue, events, abandon, onEnded }: CancelDependencies, auth: AuthContext, runId: string): Promise<RunRecord> {
  const run = await runState.cancelRun(auth, runId, runCanceled(runId, auth.principal.principal_id));
  abandon?.(auth.tenant_id, runId);
  events.announce(auth, runId, run.lastSequence);
  onEnded?.(run, 'canceled', run.summary.stepsTotal);
  const parentRunId = run.lineage?.parentRunId;
  // The caller looks by itself before long; this only makes it sooner.
  if (parentRunId !== undefined) await queue.wake(auth, parentRunId).catch(() => undefined);
  return run;
}
