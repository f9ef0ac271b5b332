/**
 * The decision: progress → the one thing to do next (PRS 5.2, HLD 4.3). Pure, so that the same recorded history
 * leads to the same next step on every worker.
 *
 * A step is one model call or one tool call. An answer that has been reached is never lost to a limit: limits stop
 * what would come next, not what is done.
 */
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunFailure, RunOptions, RunOutput, RunWork } from '../ports/run-state.ts';
import type { RequestedToolCall } from './conversation.ts';
import type { Progress } from './progress.ts';

export type Action =
  | { readonly kind: 'plan'; readonly step: number }
  /** `resumed`: the log has the request already, so only the call is made again. */
  | { readonly kind: 'call_model'; readonly step: number; readonly resumed: boolean; readonly toolChoice: string }
  | { readonly kind: 'call_tool'; readonly step: number; readonly resumed: boolean; readonly call: RequestedToolCall }
  | { readonly kind: 'complete'; readonly output: RunOutput }
  | { readonly kind: 'fail'; readonly error: RunFailure }
  /** The log has a terminal event: there is nothing left to do. */
  | { readonly kind: 'stop' };

export interface EffectiveLimits {
  readonly maxSteps: number;
  readonly timeoutMs: number;
}

/** The agent's definition and the request both set limits; the stricter one holds. */
export function effectiveLimits(agent: Pick<AgentDefinition, 'limits'>, options: Pick<RunOptions, 'maxSteps' | 'timeoutMs'>): EffectiveLimits {
  return { maxSteps: Math.min(agent.limits.maxSteps, options.maxSteps), timeoutMs: Math.min(agent.limits.timeoutMs, options.timeoutMs) };
}

/** Milliseconds since the epoch at which the run's time is used up. */
export function deadlineMs(work: Pick<RunWork, 'agent' | 'options' | 'startedAt' | 'createdAt'>): number {
  return Date.parse(work.startedAt ?? work.createdAt) + effectiveLimits(work.agent, work.options).timeoutMs;
}

/** The model that the run asks for: the tier of the request where it names one, else the agent's own reference. */
export function modelRefOf(work: Pick<RunWork, 'agent' | 'options'>): string {
  return work.options.modelTier === null ? work.agent.modelRef : `tier:${work.options.modelTier}`;
}

export function decide(work: RunWork, progress: Progress, nowMs: number): Action {
  if (progress.ended) return { kind: 'stop' };
  if (progress.answer !== null) return { kind: 'complete', output: progress.answer };
  if (progress.failure !== null) return { kind: 'fail', error: progress.failure };
  if (progress.failedTool !== null && work.agent.onToolFailure === 'abort') return { kind: 'fail', error: toolFailed(progress.failedTool) };
  if (nowMs >= deadlineMs(work)) return { kind: 'fail', error: timedOut(work) };
  if (progress.open !== null) return resume(work, progress);

  const { maxSteps } = effectiveLimits(work.agent, work.options);
  if (progress.steps >= maxSteps) return { kind: 'fail', error: outOfSteps(maxSteps) };
  const step = progress.steps + 1;
  if (work.options.dryRun) return { kind: 'plan', step };
  const call = progress.outstanding[0];
  if (call !== undefined) return { kind: 'call_tool', step, resumed: false, call };
  return { kind: 'call_model', step, resumed: false, toolChoice: toolChoiceFor(work, progress.modelCalls) };
}

function resume(work: RunWork, progress: Progress): Action {
  const open = progress.open!;
  if (open.kind === 'plan') return { kind: 'plan', step: open.number };
  const call = progress.outstanding[0];
  if (open.kind === 'tool' && call !== undefined) return { kind: 'call_tool', step: open.number, resumed: open.requested, call };
  return { kind: 'call_model', step: open.number, resumed: open.requested, toolChoice: toolChoiceFor(work, progress.modelCalls - (open.requested ? 1 : 0)) };
}

/** An agent that names a tool to begin with forces it in its first model call; after that the model is free. */
function toolChoiceFor(work: RunWork, modelCallsBefore: number): string {
  const choice = work.agent.toolChoice;
  return choice === 'none' || modelCallsBefore === 0 ? choice : 'auto';
}

function toolFailed({ toolId, error }: NonNullable<Progress['failedTool']>): RunFailure {
  return {
    code: 'tool_failed',
    message: `${toolId} failed and the agent gives up when a tool fails: ${error.message}`,
    retryable: false,
    details: { tool_id: toolId, code: error.code },
  };
}

function timedOut(work: RunWork): RunFailure {
  const { timeoutMs } = effectiveLimits(work.agent, work.options);
  return {
    code: 'timeout',
    message: `The run did not reach an answer within ${timeoutMs} ms. Raise run_options.timeout_ms (the agent allows ${work.agent.limits.timeoutMs} ms) or give it less to do.`,
    retryable: true,
    details: { timeout_ms: timeoutMs, started_at: work.startedAt },
  };
}

function outOfSteps(maxSteps: number): RunFailure {
  return {
    code: 'max_steps_exceeded',
    message: `The run used all of its ${maxSteps} steps (model calls and tool calls together) without reaching an answer. Raise run_options.max_steps or the agent's own limit.`,
    retryable: false,
    details: { max_steps: maxSteps },
  };
}
