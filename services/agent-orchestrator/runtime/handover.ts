/**
 * Handing a new run straight to a worker of the process that creates it.
 *
 * A run that is stored as queued and claimed a moment later by the same process costs a commit, two round trips and the
 * search for it. When a worker here has a free slot and no run of any tenant waits, the transaction that creates the run
 * also stores the claim: status, lease, attempt and `agentos.run.started` are what a claim would have written, so whoever
 * takes over after a crash sees a run like any other, and heartbeats, fence and step comparison hold from the first
 * moment. Where the first thing to do is a model call without tools, its request is part of the same transaction: it is
 * durable before the call is made, and the run is told in two commits.
 *
 * Fairness stays the queue's: the store hands over nothing while a run waits, and a worker gives no slots away when it
 * has not looked for waiting and abandoned runs for a while.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ClaimedRun, QueuePort } from '../ports/queue.ts';
import { newRecord } from '../ports/new-run.ts';
import type { CreateRunResult, EventDraft, NewRun, RunStatePort, RunWork } from '../ports/run-state.ts';
import { runStarted } from '../events/drafts.ts';
import { decide } from './decide.ts';
import { modelStepOpening } from './model-step.ts';
import { startProgress } from './progress.ts';

/** A slot of a worker, kept for a run that is being created. Ends by `take` or by `free`. */
export interface Seat {
  readonly workerId: string;
  readonly leaseMs: number;
  /** Executes the run here. Resolves at once, or, when the worker has stopped meanwhile, when the run was given back. */
  take(claimed: ClaimedRun): Promise<void>;
  /** Nothing happens after `take`. */
  free(): void;
}

/** The workers of this process. */
export interface Seats {
  /** null: no slot is free, or waiting runs have to be looked after first. */
  reserve(): Seat | null;
}

export interface HandoverDependencies {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly seats?: Seats;
}

/** Stores the run and sees to it that a worker has it, or hears of it. @throws AgentOsError dependency_unavailable. */
export async function createAndStart({ runState, queue, seats }: HandoverDependencies, auth: AuthContext, run: NewRun): Promise<CreateRunResult> {
  const seat = seats?.reserve() ?? null;
  if (seat === null) {
    const result = await runState.createRun(auth, run);
    if (result.outcome === 'created') queue.enqueue(auth, run.runId);
    return result;
  }
  try {
    const handover = { workerId: seat.workerId, leaseMs: seat.leaseMs, started: runStarted(run.runId), opening: openingOf(auth, run) };
    const result = await runState.createRun(auth, { ...run, handover });
    if (result.outcome !== 'created') return result;
    if ((result.handedOver ?? null) === null) queue.enqueue(auth, run.runId);
    else await seat.take({ ...result.handedOver!, log: handover.opening });
    return result;
  } finally {
    seat.free();
  }
}

/** The events that begin the run, where they are known without asking anybody: a model call that offers no tools. */
function openingOf(auth: AuthContext, run: NewRun): readonly EventDraft[] {
  if (run.agent.tools.length > 0) return [];
  const nowMs = Date.now();
  const { input, context, agent } = run;
  const work: RunWork = { ...newRecord(auth, run, new Date(nowMs).toISOString()), auth, input, context, agent };
  const progress = startProgress(work);
  const action = decide(work, progress, nowMs);
  return action.kind === 'call_model' ? modelStepOpening(work, progress, action.step, [], action.toolChoice) : [];
}
