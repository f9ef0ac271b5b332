/**
 * The fold: a run's events → how far it has come (PRS 5.2, HLD 4; reliability: replay).
 *
 * The event log is the only record. Everything that decides the next step is computed here from what the run was
 * created with and from its events, so a worker that takes over, on this version or on a later one, goes on exactly
 * where the log ends. `applyEvent` is also what the executor uses on events that it is about to write: the progress
 * in memory and the progress read back from the store cannot differ.
 */
import type { ChatMessage } from '../../../generated/types/index.ts';
import type { RunWork, RunFailure, RunOutput } from '../ports/run-state.ts';
import { assistantMessage, readChatOutput, systemMessage, toolMessage, userMessage, type RequestedToolCall } from './conversation.ts';

/** The tool by which an agent runs another agent. */
export const AGENT_INVOKE_TOOL = 'tool.agent.invoke';

/** The part of an event that the fold reads; stored events and drafts both have it. */
export interface FoldedEvent {
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** A step that was begun and whose outcome the log does not tell: it is executed again under the same identifiers. */
export interface OpenStep {
  readonly kind: 'model' | 'tool' | 'plan';
  readonly number: number;
  /** True once `tool.call.requested` or `model.requested` is in the log. */
  readonly requested: boolean;
}

export interface Progress {
  readonly messages: readonly ChatMessage[];
  /** Model calls and tool calls begun. */
  readonly steps: number;
  readonly modelCalls: number;
  readonly toolCalls: number;
  readonly open: OpenStep | null;
  /** Calls of the model's newest answer that have no result yet, in the model's order. */
  readonly outstanding: readonly RequestedToolCall[];
  /** The newest answer that asked for no tool. */
  readonly answer: RunOutput | null;
  /** Why the newest model call failed for good. */
  readonly failure: RunFailure | null;
  /** The newest tool call, when it failed. */
  readonly failedTool: { readonly toolId: string; readonly error: { readonly code: string; readonly message: string } } | null;
  /** True once it has called another agent: its end then ends what that agent still does. */
  readonly callsAgents: boolean;
  readonly ended: boolean;
}

export function startProgress(work: Pick<RunWork, 'agent' | 'input'>): Progress {
  const instructions = work.agent.instructions.trim();
  const { text, messages } = work.input;
  return {
    messages: [...(instructions === '' ? [] : [systemMessage(instructions)]), ...(messages?.map(({ role, content }) => ({ role, content })) ?? [userMessage(text)])],
    steps: 0,
    modelCalls: 0,
    toolCalls: 0,
    open: null,
    outstanding: [],
    answer: null,
    failure: null,
    failedTool: null,
    callsAgents: false,
    ended: false,
  };
}

export function fold(work: Pick<RunWork, 'agent' | 'input'>, events: Iterable<FoldedEvent>): Progress {
  let progress = startProgress(work);
  for (const event of events) progress = applyEvent(progress, event);
  return progress;
}

/** Types that the fold does not know change nothing, so that later releases may add events. */
export function applyEvent(progress: Progress, event: FoldedEvent): Progress {
  switch (event.type) {
    case 'agentos.run.step.started':
      return stepStarted(progress, event.payload);
    case 'agentos.model.requested':
      return { ...progress, modelCalls: progress.modelCalls + 1, open: requested(progress.open) };
    case 'agentos.model.completed':
      return modelCompleted(progress, event.payload);
    case 'agentos.tool.call.requested':
      return { ...progress, toolCalls: progress.toolCalls + 1, open: requested(progress.open), callsAgents: progress.callsAgents || event.payload['tool_id'] === AGENT_INVOKE_TOOL };
    case 'agentos.tool.call.completed':
      return toolCompleted(progress, event.payload);
    case 'agentos.run.step.completed':
      return event.payload['step_kind'] === 'plan' ? planCompleted(progress, event.payload) : { ...progress, open: null };
    case 'agentos.run.completed':
    case 'agentos.run.failed':
    case 'agentos.run.canceled':
      return { ...progress, open: null, ended: true };
    default:
      return progress;
  }
}

const requested = (open: OpenStep | null): OpenStep | null => (open === null ? null : { ...open, requested: true });

function stepStarted(progress: Progress, payload: FoldedEvent['payload']): Progress {
  const kind = payload['step_kind'] === 'tool' || payload['step_kind'] === 'plan' ? payload['step_kind'] : 'model';
  const number = progress.steps + 1;
  return { ...progress, steps: number, open: { kind, number, requested: false } };
}

function modelCompleted(progress: Progress, payload: FoldedEvent['payload']): Progress {
  if (payload['status'] === 'error') return { ...progress, open: null, failure: readFailure(payload['error']) };
  const turn = readChatOutput(payload['output']);
  if (turn === null) {
    return {
      ...progress,
      open: null,
      failure: {
        code: 'internal_error',
        message: 'The model answered with neither text nor tool calls.',
        retryable: true,
        details: { service: 'model-policy', reason: 'empty_model_answer' },
      },
    };
  }
  return {
    ...progress,
    open: null,
    messages: [...progress.messages, assistantMessage(turn)],
    outstanding: turn.toolCalls,
    answer: turn.toolCalls.length === 0 ? { type: 'text', text: turn.text } : null,
  };
}

/** A plan is the answer of a dry run. */
function planCompleted(progress: Progress, payload: FoldedEvent['payload']): Progress {
  if (payload['status'] === 'error') return { ...progress, open: null, failure: readFailure(payload['error']) };
  return { ...progress, open: null, answer: (payload['output'] ?? null) as RunOutput | null };
}

function toolCompleted(progress: Progress, payload: FoldedEvent['payload']): Progress {
  const [call, ...outstanding] = progress.outstanding;
  if (call === undefined) return { ...progress, open: null };
  const error = payload['error'];
  const outcome = {
    status: payload['status'] === 'error' ? ('error' as const) : ('ok' as const),
    output: payload['output'],
    error: typeof error === 'object' && error !== null ? (error as { code: string; message: string }) : null,
  };
  const failedTool = outcome.status === 'ok' ? null : { toolId: String(payload['tool_id'] ?? call.tool), error: { code: outcome.error?.code ?? 'tool_failed', message: outcome.error?.message ?? 'The tool failed.' } };
  return { ...progress, open: null, outstanding, failedTool, messages: [...progress.messages, toolMessage(call, outcome)] };
}

function readFailure(raw: unknown): RunFailure {
  const error = (typeof raw === 'object' && raw !== null ? raw : {}) as Partial<RunFailure>;
  return {
    code: error.code ?? 'internal_error',
    message: error.message ?? 'The model call failed and the log does not say why.',
    retryable: error.retryable ?? false,
    details: error.details ?? {},
  };
}
