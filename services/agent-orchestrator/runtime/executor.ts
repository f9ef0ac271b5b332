/**
 * The executor: takes one claimed run from where its log ends to its end (PRS 5.2, HLD 4 and 10.2).
 *
 * The protocol
 *
 * Lease. A claim hands out a lease: a token and a time. The worker extends it by heartbeats; a worker that dies
 * stops extending it, and after it has run out anyone may claim the run under a new token.
 *
 * Fence. Every write carries the token, and the store compares it in the statement that writes. A worker that was
 * merely slow (stopped, partitioned, swapped out) and comes back after its lease was taken is refused: `fenced`. It
 * then stops without another word, because the run belongs to somebody else.
 *
 * Step. The token alone does not make a write happen once: a commit can succeed and its answer be lost, and the
 * worker that repeats it still holds the token. So each transition also names the number of transitions it believes
 * to be stored. When that is no longer so, the store looks for the transition's own events: found means that it was
 * applied before, which is success.
 *
 * Transitions. One transition carries the outcome of what was just done together with the request of what is done
 * next, so a run of n calls costs n + 1 transitions. Between two transitions stands exactly one call:
 *
 *   step.started, model.requested
 *     → model.completed, step.completed, step.started, tool.call.requested
 *       → tool.call.completed, step.completed, step.started, model.requested
 *         → model.completed, step.completed, run.completed
 *
 * Effects. A tool call has effects, so its request is durable before it is made: whoever takes over sees that it may
 * have happened and repeats it under the same `tool_call_id`. A model call is the same call however often it is made
 * (its `request_id` derives from the step), so it starts while its request is still being committed.
 *
 * Waiting. A tool whose answer is another run's (an agent called as a tool) keeps no worker busy: the run is parked, and
 * whoever claims it when that run has ended makes the same call again and is answered at once. A run that ends wakes the
 * one that called it; one that ends early cancels what it had called.
 *
 * Ends. The lease is lost, the run is canceled, or the process stops: the signal aborts, calls are abandoned, and
 * nothing is written. What was done and not yet written is done again by the next worker.
 */
import type { Logger } from 'pino';
import { originOf, withOrigin } from '../../platform/audit/request-origin.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { EventPort } from '../ports/events.ts';
import type { ModelPort } from '../ports/model.ts';
import type { ClaimedRun, QueuePort } from '../ports/queue.ts';
import type { EventDraft, RunRecord, RunStatePort, RunTransition, RunWork } from '../ports/run-state.ts';
import { ToolAwaitsRun, type ToolDescriptor, type ToolPort } from '../ports/tool.ts';
import { runCanceled, runCompleted, runFailed, summaryOf } from '../events/drafts.ts';
import { deadlineMs, decide, modelRefOf, type Action } from './decide.ts';
import { callModel, modelRequestOf, modelStepOpening } from './model-step.ts';
import { permittedTools, type ToolEntitlement } from './permissions.ts';
import { makePlan, planStepOpening } from './plan-step.ts';
import { applyEvent, fold, startProgress, type Progress } from './progress.ts';
import type { RetryClock } from './retry.ts';
import { callTool, refusal, refused, resolveTool, toolStepOpening, type ToolStep } from './tool-step.ts';

export interface ExecutorDependencies {
  readonly runState: RunStatePort;
  readonly events: EventPort;
  readonly queue: Pick<QueuePort, 'park' | 'wake'>;
  readonly model: ModelPort;
  readonly tools: ToolPort;
  /** The tools that the tenant is entitled to now; asked at each use, so that a change holds for runs under way. */
  readonly entitlement: (work: RunWork) => Promise<ToolEntitlement>;
  readonly clock: RetryClock;
  /** See `ModelStepCall`. */
  readonly modelOutageGraceMs?: number | undefined;
  readonly log: Logger;
  /** Cancels what a run that has ended has set going and left behind; absent where no tool calls agents. */
  readonly cancelChildren?: (work: RunWork) => Promise<void>;
  /** Told once a run's end is stored. */
  readonly onEnded?: EndedRunObserver;
  /** Told once a step's end is stored. */
  readonly onStep?: EndedStepObserver;
  /** Told of each call of a step when it has ended, whether or not its outcome is stored then. */
  readonly onCall?: EndedCallObserver;
}

export type EndedStepObserver = (step: { readonly step_kind: string; readonly status: string; readonly duration_ms: number }, tenantId: string) => void;

/** `abandoned`: the run was canceled or is another worker's, which may make the same call again. */
export interface EndedCall {
  readonly kind: 'model' | 'tool' | 'plan';
  /** The model reference or the tool. */
  readonly name: string;
  readonly step: number;
  readonly status: 'ok' | 'error' | 'abandoned';
  readonly durationMs: number;
}

export type EndedCallObserver = (call: EndedCall, run: RunWork) => void;

/** `run` is as it was when this execution began, but for a canceled run; `steps` counts model calls and tool calls. */
export type EndedRunObserver = (run: RunRecord, status: 'completed' | 'failed' | 'canceled', steps: number) => void;

/**
 * `fenced`: the run belongs to another worker or has ended. `aborted`: the signal told to stop. `parked`: it waits for
 * another run and will be claimed again.
 */
export type ExecutionEnd = 'completed' | 'failed' | 'fenced' | 'aborted' | 'parked';

/** A wake-up that was lost costs a waiting run this much. */
const PARK_MS = 15_000;

type End = RunTransition['end'];

/** Executes one claimed run. Rejects only for errors that no retry settles; the lease then runs out by itself. */
export async function executeRun(dependencies: ExecutorDependencies, claimed: ClaimedRun, signal: AbortSignal): Promise<ExecutionEnd> {
  const execution = new Execution(dependencies, claimed, signal);
  try {
    return await execution.run();
  } catch (error) {
    if (signal.aborted) return 'aborted';
    throw error;
  }
}

class Fenced extends Error {}

/** What the worker does for the run, the audit log finds under the run's own correlation. */
function withCorrelation(run: RunWork): RunWork {
  if (originOf(run.auth) !== null) return run;
  return { ...run, auth: withOrigin(run.auth, { operationId: null, correlationId: run.correlationId, source: null }) };
}

class Execution {
  readonly #dependencies: ExecutorDependencies;
  readonly #claimed: ClaimedRun;
  readonly #work: RunWork;
  readonly #signal: AbortSignal;
  #progress: Progress;
  #expectedStep: number;
  #lastSequence: number;
  /** Events that the next transition writes; `#progress` has them already. */
  #pending: EventDraft[] = [];

  constructor(dependencies: ExecutorDependencies, claimed: ClaimedRun, signal: AbortSignal) {
    this.#dependencies = dependencies;
    this.#claimed = claimed;
    this.#work = withCorrelation(claimed.run);
    this.#signal = signal;
    this.#progress = startProgress(claimed.run);
    this.#expectedStep = claimed.run.step;
    this.#lastSequence = claimed.run.lastSequence;
  }

  async run(): Promise<ExecutionEnd> {
    try {
      // A run without a transition has nothing in its log that the fold reads.
      if (await this.#isOrphan()) return 'fenced';
      if (this.#work.step > 0) this.#progress = this.#claimed.log === undefined ? await this.#loadProgress() : fold(this.#work, this.#claimed.log);
      for (;;) {
        if (this.#signal.aborted) return 'aborted';
        const end = await this.#act(decide(this.#work, this.#progress, this.#dependencies.clock.now()));
        if (end !== null) return end;
      }
    } catch (error) {
      if (error instanceof Fenced) return 'fenced';
      throw error;
    }
  }

  async #act(action: Action): Promise<ExecutionEnd | null> {
    switch (action.kind) {
      case 'stop':
        return 'fenced';
      case 'complete':
        this.#record([runCompleted(this.#work.runId, action.output)]);
        await this.#commit({ status: 'completed', output: action.output });
        return 'completed';
      case 'fail':
        this.#record([runFailed(this.#work.runId, action.error)]);
        await this.#commit({ status: 'failed', error: action.error });
        if (this.#progress.callsAgents) await this.#dependencies.cancelChildren?.(this.#work);
        return 'failed';
      case 'plan':
        await this.#plan(action.step);
        return null;
      case 'call_model':
        await this.#modelStep(action);
        return null;
      case 'call_tool':
        return this.#toolStep(action);
    }
  }

  async #loadProgress(): Promise<Progress> {
    const events: EventDraft[] = [];
    for (let after = 0; ; ) {
      const page = await this.#dependencies.events.read(this.#work.auth, this.#work.runId, { after, limit: 500 });
      for (const event of page.events) events.push({ eventId: event.eventId, type: event.type, stepId: event.stepId, spanId: event.trace.span_id, payload: event.payload });
      const last = page.events.at(-1);
      if (last === undefined || last.sequence >= page.lastSequence) return fold(this.#work, events);
      after = last.sequence;
    }
  }

  async #modelStep(action: Extract<Action, { kind: 'call_model' }>): Promise<void> {
    const { model, clock, modelOutageGraceMs: outageGraceMs } = this.#dependencies;
    const work = this.#work;
    const before = this.#progress;
    const tools = action.toolChoice === 'none' ? [] : await this.#offeredTools();
    if (!action.resumed) this.#record(openingOf(before, modelStepOpening(work, before, action.step, tools, action.toolChoice)));
    const request = modelRequestOf(work, before, action.step, tools, action.toolChoice);
    const asking = { work, progress: before, step: action.step, request, outageGraceMs };
    // A run that was handed over has its request in the log already: nothing is being written that could turn out refused.
    if (this.#pending.length === 0) return this.#record(await this.#observed('model', action.step, modelRefOf(work), callModel(model, clock, { ...asking, signal: this.#signal })));

    const calls = new AbortController();
    const signal = AbortSignal.any([this.#signal, calls.signal]);
    const committed = this.#commit(null);
    const call = this.#observed('model', action.step, modelRefOf(work), callModel(model, clock, { ...asking, signal }));
    call.catch(() => undefined);
    try {
      await committed;
    } catch (error) {
      calls.abort();
      throw error;
    }
    this.#record(await call);
  }

  async #toolStep(action: Extract<Action, { kind: 'call_tool' }>): Promise<ExecutionEnd | null> {
    const { tools, clock, entitlement } = this.#dependencies;
    const [descriptors, entitled] = await Promise.all([tools.list(this.#work.auth, this.#work.agent.tools), entitlement(this.#work)]);
    const step: ToolStep = { work: this.#work, step: action.step, call: action.call, toolId: resolveTool(action.call, descriptors) };
    if (!action.resumed) this.#record(openingOf(this.#progress, toolStepOpening(step)));
    const error = refusal(step, descriptors, entitled);
    if (error !== null) {
      this.#record(refused(step, error));
      return null;
    }
    await this.#commit(null);
    try {
      this.#record(await this.#observed('tool', action.step, step.toolId, callTool(tools, clock, step, this.#signal)));
      return null;
    } catch (thrown) {
      if (thrown instanceof ToolAwaitsRun) return this.#park(thrown.runId);
      throw thrown;
    }
  }

  /** A call that waits for another run is made again when that has ended, so it is told then. */
  #observed(kind: EndedCall['kind'], step: number, name: string, outcome: Promise<readonly EventDraft[]>): Promise<readonly EventDraft[]> {
    const { onCall } = this.#dependencies;
    if (onCall === undefined) return outcome;
    const startedMs = performance.now();
    const tell = (status: EndedCall['status']): void => onCall({ kind, name, step, status, durationMs: performance.now() - startedMs }, this.#work);
    return outcome.then(
      (drafts) => {
        tell(drafts.at(-1)?.payload['status'] === 'error' ? 'error' : 'ok');
        return drafts;
      },
      (thrown: unknown) => {
        if (!(thrown instanceof ToolAwaitsRun)) tell('abandoned');
        throw thrown;
      },
    );
  }

  async #park(awaitedRunId: string): Promise<ExecutionEnd> {
    const { queue, runState, clock } = this.#dependencies;
    const { auth, runId } = this.#work;
    const maxWaitMs = Math.max(1, Math.min(PARK_MS, deadlineMs(this.#work) - clock.now()));
    if (!(await queue.park(auth, this.#claimed.lease, maxWaitMs))) return 'fenced';
    // It may have ended before there was anybody to wake. Whatever goes wrong here costs one wait.
    const awaited = await runState.getRun(auth, awaitedRunId).catch(() => null);
    if (awaited?.completedAt !== null) await queue.wake(auth, runId).catch(() => undefined);
    return 'parked';
  }

  /** A run whose caller has ended meanwhile has nobody to answer: it ends as well. */
  async #isOrphan(): Promise<boolean> {
    const parentRunId = this.#work.lineage?.parentRunId;
    if (parentRunId === undefined) return false;
    const { auth, runId, principalId } = this.#work;
    const parent = await this.#dependencies.runState.getRun(auth, parentRunId);
    if (parent.completedAt === null) return false;
    const canceled = await this.#dependencies.runState.cancelRun(auth, runId, runCanceled(runId, principalId)).catch((error: unknown) => {
      if (error instanceof AgentOsError && error.code === 'invalid_state_transition') return null;
      throw error;
    });
    if (canceled !== null) this.#dependencies.onEnded?.(canceled, 'canceled', canceled.summary.stepsTotal);
    return true;
  }

  /** A dry run says what it would do and does none of it: no model is called, no tool is run (Appendix D.1, `dry_run`). */
  async #plan(step: number): Promise<void> {
    const { model, clock, tools, entitlement } = this.#dependencies;
    const work = this.#work;
    this.#record(openingOf(this.#progress, planStepOpening(work.runId, step)));
    const [descriptors, entitled] = await Promise.all([tools.list(work.auth, work.agent.tools), entitlement(work)]);
    const planned = makePlan(model, clock, { work, progress: this.#progress, step, descriptors, entitlement: entitled, signal: this.#signal });
    this.#record(await this.#observed('plan', step, modelRefOf(work), planned.then((draft) => [draft])));
  }

  async #offeredTools(): Promise<readonly ToolDescriptor[]> {
    if (this.#work.agent.tools.length === 0) return [];
    const { tools, entitlement } = this.#dependencies;
    const [descriptors, entitled] = await Promise.all([tools.list(this.#work.auth, this.#work.agent.tools), entitlement(this.#work)]);
    const permitted = permittedTools({ entitlement: entitled, agent: this.#work.agent, tooling: this.#work.tooling });
    return permitted.flatMap((toolId) => descriptors.find((tool) => tool.toolId === toolId) ?? []);
  }

  #record(drafts: readonly EventDraft[]): void {
    for (const draft of drafts) {
      this.#progress = applyEvent(this.#progress, draft);
      this.#pending.push(draft);
    }
  }

  /** Writes what is pending as one transition. @throws Fenced when the run is no longer ours. */
  async #commit(end: End): Promise<void> {
    if (this.#pending.length === 0) return;
    const events = this.#pending;
    this.#pending = [];
    const transition: RunTransition = { expectedStep: this.#expectedStep, events, summaryDelta: summaryOf(events), end };
    const result = await this.#advance(transition);
    if (result.outcome === 'fenced') throw new Fenced();
    this.#expectedStep += 1;
    this.#lastSequence = result.lastSequence;
    this.#dependencies.events.announce(this.#work.auth, this.#work.runId, this.#lastSequence);
    const { onStep } = this.#dependencies;
    if (onStep !== undefined) for (const event of events) if (event.type === 'agentos.run.step.completed') onStep(event.payload as Parameters<EndedStepObserver>[0], this.#work.tenantId);
    if (end !== null) this.#ended(end.status);
  }

  #ended(status: 'completed' | 'failed'): void {
    const { queue, log, onEnded } = this.#dependencies;
    const { auth, runId, lineage } = this.#work;
    onEnded?.(this.#work, status, this.#progress.steps);
    if (lineage?.parentRunId === undefined) return;
    queue.wake(auth, lineage.parentRunId).catch((error: unknown) => log.debug({ err: error, run_id: runId }, 'The calling run could not be woken; it looks by itself.'));
  }

  /**
   * A store that cannot answer is asked again until the signal aborts (the worker aborts when its leases can no
   * longer be kept): the step comparison makes the repetition safe even where the first attempt was committed.
   */
  async #advance(transition: RunTransition): ReturnType<RunStatePort['advance']> {
    const { runState, clock, log } = this.#dependencies;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runState.advance(this.#work.auth, this.#claimed.lease, transition);
      } catch (error) {
        if (this.#signal.aborted || !(error instanceof AgentOsError) || error.code !== 'dependency_unavailable') throw error;
        log.warn({ err: error, run_id: this.#work.runId, attempt }, 'A transition could not be written; trying again.');
        await clock.sleep(Math.min(2_000, 50 * 2 ** attempt), this.#signal);
        if (this.#signal.aborted) throw error;
      }
    }
  }
}

/** A step that was begun but whose request was not written opens with what is missing. */
function openingOf(progress: Progress, drafts: readonly EventDraft[]): readonly EventDraft[] {
  return progress.open === null ? drafts : drafts.filter((draft) => draft.type !== 'agentos.run.step.started');
}
