/**
 * Replay: the decision loop once more, from the event log alone (reliability: replay; PRS 5.2).
 *
 * A run's log must lead to the same steps on this version and on every later one: that is what lets a worker take over
 * a run that another one began. Replay proves it for a given run. It folds the log event by event, asks `decide` at
 * every place where a decision was recorded, and holds the two against each other: which step came next, what the
 * model was given (by the hash that the request left in the log), which tool was called with what, how the run ended.
 * No model and no tool is called and nothing is written.
 *
 * What comes from outside is taken from the log, as the executor took it from the world: answers of models and tools,
 * the tools that were offered, that the time was up, that somebody canceled the run or that it was given up. An event
 * that lacks what replay needs is named in `missing`.
 */
import type { RunEvent } from '../ports/events.ts';
import type { RunOutput, RunWork } from '../ports/run-state.ts';
import { canonicalHash } from './canonical.ts';
import { deadlineMs, decide, modelRefOf, type Action } from './decide.ts';
import { eventIdOf, stepIdOf } from './ids.ts';
import { inputHashOf } from './model-step.ts';
import { applyEvent, startProgress, type Progress } from './progress.ts';

export type ReplayedEvent = Pick<RunEvent, 'eventId' | 'sequence' | 'type' | 'stepId' | 'payload'>;

type Members = Readonly<Record<string, unknown>>;

export interface ReplayDecision {
  readonly step: number;
  readonly kind: 'model' | 'tool' | 'plan' | 'finish' | 'fail';
  /** As recorded; null where the log says nothing of it. */
  readonly expected: Members | null;
  /** As decided now; null where the loop stops. */
  readonly actual: Members | null;
  readonly agreed: boolean;
}

export interface ReplayGap {
  readonly sequence?: number;
  readonly what: string;
}

export interface ReplayReport {
  readonly agreed: boolean;
  readonly steps: number;
  readonly decisions: readonly ReplayDecision[];
  readonly missing: readonly ReplayGap[];
}

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  'agentos.run.step.started': ['step_kind', 'name'],
  'agentos.model.requested': ['model_ref', 'input_hash'],
  'agentos.model.completed': ['status'],
  'agentos.tool.call.requested': ['tool_id', 'input'],
  'agentos.tool.call.completed': ['status'],
  'agentos.run.completed': ['output'],
  'agentos.run.failed': ['error'],
};

export function replayRun(work: RunWork, events: readonly ReplayedEvent[]): ReplayReport {
  const replay = new Replay(work, events);
  return replay.run();
}

class Replay {
  readonly #work: RunWork;
  readonly #events: readonly ReplayedEvent[];
  readonly #decisions: ReplayDecision[] = [];
  readonly #missing: ReplayGap[] = [];
  #progress: Progress;

  constructor(work: RunWork, events: readonly ReplayedEvent[]) {
    this.#work = work;
    this.#events = events;
    this.#progress = startProgress(work);
  }

  run(): ReplayReport {
    this.#lookForGaps();
    for (const [index, event] of this.#events.entries()) {
      this.#decide(event, index);
      this.#progress = applyEvent(this.#progress, event);
    }
    this.#lookForEnd();
    const agreed = this.#missing.length === 0 && this.#decisions.every((decision) => decision.agreed);
    return { agreed, steps: this.#progress.steps, decisions: this.#decisions, missing: this.#missing };
  }

  #decide(event: ReplayedEvent, index: number): void {
    const { payload } = event;
    switch (event.type) {
      case 'agentos.run.step.started':
        // A tool step or plan step tells what it is in the events that follow; together they are one decision.
        return this.#compareStep(event, this.#events.slice(index + 1, index + 2)[0]);
      case 'agentos.run.completed':
        return this.#compare('finish', { type: 'complete', output: payload['output'] ?? null }, this.#next(), event);
      case 'agentos.run.failed':
        return this.#compareFailure(event);
      default:
        return undefined;
    }
  }

  #compareStep(started: ReplayedEvent, request: ReplayedEvent | undefined): void {
    const kind = stepKind(started.payload['step_kind']);
    const recorded = request?.stepId === started.stepId ? request : undefined;
    const expected = { ...stepIdentity(started), ...requestOf(kind, recorded) };
    this.#compare(kind, expected, this.#next(), started, recorded);
  }

  /** The clock of the time is not in the log, but what it decided is: the time was up exactly when the log says so. */
  #next(timeIsUp = false): Action {
    const deadline = deadlineMs(this.#work);
    return decide(this.#work, this.#progress, timeIsUp ? deadline : deadline - 1);
  }

  #compareFailure(event: ReplayedEvent): void {
    const error = (event.payload['error'] ?? {}) as { code?: string; message?: string; details?: Members };
    // Given up by the queue: no decision of the loop.
    if (error.details?.['reason'] === 'poisoned') return;
    const expected = { type: 'fail', code: error.code ?? null };
    const inTime = this.#next();
    // A model call that timed out fails the run in time; the loop's own timeout comes before it does anything.
    const action = error.code === 'timeout' && inTime.kind !== 'fail' ? this.#next(true) : inTime;
    this.#compare('fail', expected, action, event);
  }

  #compare(kind: ReplayDecision['kind'], expected: Members, action: Action, event: ReplayedEvent, request?: ReplayedEvent): void {
    const actual = this.#describe(action, request);
    const ends = kind === 'finish' || kind === 'fail';
    const step = ends ? this.#progress.steps : this.#progress.steps + 1;
    const derived = eventIdOf(this.#work.runId, ends ? 'run' : step, event.type);
    const same = actual !== null && canonicalHash(actual) === canonicalHash(expected);
    const sameId = derived === event.eventId;
    this.#decisions.push({
      step: Math.max(1, step),
      kind,
      expected: sameId ? expected : { ...expected, event_id: event.eventId },
      actual: sameId || actual === null ? actual : { ...actual, event_id: derived },
      agreed: same && sameId,
    });
  }

  /** In the words of `requestOf`, `stepIdentity` and the terminal events. */
  #describe(action: Action, request: ReplayedEvent | undefined): Members | null {
    switch (action.kind) {
      case 'plan':
        return { type: 'plan', step_id: stepIdOf(this.#work.runId, action.step) };
      case 'call_model': {
        const offered = offeredIds(request);
        const hash = request?.payload['input_hash'] === undefined ? {} : { input_hash: inputHashOf(this.#progress, offered, action.toolChoice) };
        return { type: 'model', step_id: stepIdOf(this.#work.runId, action.step), ...(request === undefined ? {} : { model_ref: modelRefOf(this.#work), ...hash }) };
      }
      case 'call_tool': {
        const toolId = this.#resolve(action.call.tool, request);
        return { type: 'tool', step_id: stepIdOf(this.#work.runId, action.step), ...(request === undefined ? {} : { tool_id: toolId, input: action.call.input ?? null }) };
      }
      case 'complete':
        return { type: 'complete', output: outputMembers(action.output) };
      case 'fail':
        return { type: 'fail', code: action.error.code };
      case 'stop':
        return null;
    }
  }

  /**
   * A model may name a tool by its name. Which tool that was is what the offer in the log says; a name that was never
   * offered was looked up among the node's tools, which the log does not hold: what it found is then taken as recorded.
   */
  #resolve(word: string, request: ReplayedEvent | undefined): string {
    const recorded = String(request?.payload['tool_id'] ?? word);
    const offers = this.#events.filter((event) => event.type === 'agentos.model.requested' && event.sequence < (request?.sequence ?? 0)).at(-1);
    const offered = offersOf(offers).find((tool) => tool.tool_id === word || tool.name === word);
    if (offered !== undefined) return offered.tool_id;
    return word.startsWith('tool.') ? word : recorded;
  }

  #lookForGaps(): void {
    let before = 0;
    for (const event of this.#events) {
      for (let sequence = before + 1; sequence < event.sequence; sequence += 1) this.#missing.push({ sequence, what: 'the event itself' });
      before = event.sequence;
      for (const name of NEEDED[event.type] ?? []) if (event.payload[name] === undefined) this.#missing.push({ sequence: event.sequence, what: `${name} of ${event.type}` });
      if (event.type === 'agentos.model.completed' && event.payload['status'] !== 'error' && event.payload['output'] === undefined) {
        this.#missing.push({ sequence: event.sequence, what: `output of ${event.type}` });
      }
    }
    for (let sequence = before + 1; sequence <= this.#work.lastSequence; sequence += 1) this.#missing.push({ sequence, what: 'the event itself' });
  }

  #lookForEnd(): void {
    const ended = this.#work.status !== 'queued' && this.#work.status !== 'running';
    if (!ended || this.#progress.ended) return;
    this.#missing.push({ what: `the event that ended the run, although its status is ${this.#work.status}` });
    if (this.#work.status === 'canceled') return;
    const action = this.#next();
    this.#decisions.push({ step: Math.max(1, this.#progress.steps), kind: action.kind === 'fail' ? 'fail' : 'finish', expected: null, actual: this.#describe(action, undefined), agreed: false });
  }
}

const stepKind = (raw: unknown): 'model' | 'tool' | 'plan' => (raw === 'tool' || raw === 'plan' ? raw : 'model');

const stepIdentity = (started: ReplayedEvent): Members => ({ type: stepKind(started.payload['step_kind']), step_id: started.stepId });

function requestOf(kind: 'model' | 'tool' | 'plan', request: ReplayedEvent | undefined): Members {
  if (request === undefined || kind === 'plan') return {};
  const { payload } = request;
  if (kind === 'tool') return { tool_id: payload['tool_id'] ?? null, input: payload['input'] ?? null };
  return { model_ref: payload['model_ref'] ?? null, ...(payload['input_hash'] === undefined ? {} : { input_hash: payload['input_hash'] }) };
}

function offersOf(request: ReplayedEvent | undefined): readonly { readonly tool_id: string; readonly name: string }[] {
  const tools = request?.payload['tools'];
  return Array.isArray(tools) ? (tools as { tool_id: string; name: string }[]) : [];
}

const offeredIds = (request: ReplayedEvent | undefined): readonly string[] => offersOf(request).map((tool) => tool.tool_id);

/** As the event stores it. */
const outputMembers = (output: RunOutput): unknown => ({ ...output });
