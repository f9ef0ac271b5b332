/**
 * One tool call of a run: permission, the call with its retries, and the events that tell it (Appendix D.5.3, D.5.4).
 * A refused or failed call is an outcome, not an error: the model is told and goes on.
 */
import type { AgentOsError } from '../../platform/errors.ts';
import type { EventDraft, RunWork } from '../ports/run-state.ts';
import type { ToolDescriptor, ToolPort } from '../ports/tool.ts';
import { stepCompleted, stepStarted, toolCallCompleted, toolCallRequested } from '../events/drafts.ts';
import type { RequestedToolCall } from './conversation.ts';
import { deadlineMs } from './decide.ts';
import { spanIdOf, toolCallIdOf, traceparentAt } from './ids.ts';
import { toolPermission, type ToolEntitlement } from './permissions.ts';
import { asAgentOsError, withRetries, type RetryClock } from './retry.ts';

/** Largest output of a tool, as JSON; more would make the log and the model's prompt unbounded. */
export const MAX_TOOL_OUTPUT_BYTES = 128 * 1024;

const RETRYABLE_CODES = new Set(['timeout', 'dependency_unavailable']);

export interface ToolStep {
  readonly work: RunWork;
  readonly step: number;
  readonly call: RequestedToolCall;
  /** What the model's word resolves to; the word itself where no such tool exists. */
  readonly toolId: string;
}

export type ToolError = { readonly code: string; readonly message: string; readonly retryable: boolean; readonly details: Readonly<Record<string, unknown>> };

/** A model may write a tool's id or its name. */
export function resolveTool(call: RequestedToolCall, descriptors: readonly ToolDescriptor[]): string {
  return descriptors.find((tool) => tool.toolId === call.tool || tool.name === call.tool)?.toolId ?? call.tool;
}

/** Why the call may not be made, or null when it may. */
export function refusal(step: ToolStep, descriptors: readonly ToolDescriptor[], entitlement: ToolEntitlement): ToolError | null {
  const { work, toolId } = step;
  const permission = toolPermission(toolId, { entitlement, agent: work.agent, tooling: work.tooling });
  if (!permission.allowed) {
    return {
      code: 'forbidden',
      message: `This run may not call ${toolId}: ${REASONS[permission.reason]}.`,
      retryable: false,
      details: { tool_id: toolId, reason: permission.reason },
    };
  }
  if (descriptors.some((tool) => tool.toolId === toolId)) return null;
  return { code: 'not_found', message: `There is no tool ${toolId} on this node.`, retryable: false, details: { tool_id: toolId } };
}

const REASONS = {
  denylisted: "the request's deny-list names it",
  not_entitled: 'the tenant is not entitled to it',
  not_an_agent_tool: 'the agent does not have it',
  not_in_allowlist: "the request's allow-list leaves it out",
} as const;

export function toolStepOpening(step: ToolStep): readonly EventDraft[] {
  const { work, toolId, call } = step;
  return [
    stepStarted(work.runId, step.step, { step_kind: 'tool', name: toolId, message: `Calling ${toolId}` }),
    toolCallRequested(work.runId, step.step, { tool_id: toolId, input: call.input, timeout_ms: work.agent.limits.toolTimeoutMs }),
  ];
}

export function refused(step: ToolStep, error: ToolError): readonly EventDraft[] {
  return closing(step, { status: 'error', output: null, error, durationMs: 0 });
}

/** Makes the call and answers the events of its outcome. Rejects only when the signal aborted. */
export async function callTool(tools: ToolPort, clock: RetryClock, step: ToolStep, signal: AbortSignal): Promise<readonly EventDraft[]> {
  const { work } = step;
  const startedMs = clock.now();
  const endMs = deadlineMs(work);
  try {
    const output = await withRetries(
      () => invokeOnce(tools, step, Math.max(1, Math.min(work.agent.limits.toolTimeoutMs, endMs - clock.now())), signal),
      { attempts: work.agent.retry.toolAttempts, baseMs: 200, maxMs: 2_000, deadlineMs: endMs, mayRetry: (error) => error.retryable && RETRYABLE_CODES.has(error.code) },
      clock,
      signal,
    );
    const bytes = Buffer.byteLength(JSON.stringify(output ?? null));
    if (bytes > MAX_TOOL_OUTPUT_BYTES) return closing(step, { status: 'error', output: null, error: tooLarge(step, bytes), durationMs: clock.now() - startedMs });
    return closing(step, { status: 'ok', output: output ?? null, error: null, durationMs: clock.now() - startedMs });
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    return closing(step, { status: 'error', output: null, error: toolError(asAgentOsError(thrown)), durationMs: clock.now() - startedMs });
  }
}

function invokeOnce(tools: ToolPort, step: ToolStep, timeoutMs: number, signal: AbortSignal): Promise<unknown> {
  const { work } = step;
  return tools.invoke(work.auth, {
    toolId: step.toolId,
    input: step.call.input,
    toolCallId: toolCallIdOf(work.runId, step.step),
    timeoutMs,
    signal,
    traceparent: traceparentAt(work.traceparent, spanIdOf(work.runId, step.step)),
  });
}

const toolError = (error: AgentOsError): ToolError => ({ code: error.code, message: error.message, retryable: error.retryable, details: error.details });

const tooLarge = (step: ToolStep, bytes: number): ToolError => ({
  code: 'tool_failed',
  message: `${step.toolId} answered ${bytes} bytes; at most ${MAX_TOOL_OUTPUT_BYTES} are taken.`,
  retryable: false,
  details: { tool_id: step.toolId, bytes, limit: MAX_TOOL_OUTPUT_BYTES },
});

function closing(step: ToolStep, outcome: { status: 'ok' | 'error'; output: unknown; error: ToolError | null; durationMs: number }): readonly EventDraft[] {
  const durationMs = Math.round(outcome.durationMs);
  return [
    toolCallCompleted(step.work.runId, step.step, { tool_id: step.toolId, status: outcome.status, output: outcome.output, duration_ms: durationMs, error: outcome.error }),
    stepCompleted(step.work.runId, step.step, { status: outcome.status, step_kind: 'tool', name: step.toolId, duration_ms: durationMs }),
  ];
}
