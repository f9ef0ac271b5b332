/**
 * One tool call of a run: permission, the call with its retries, and the events that tell it (Appendix D.5.3, D.5.4).
 * A refused or failed call is an outcome, not an error: what follows from it is the decision's (`on_tool_failure`).
 */
import type { AgentOsError } from '../../platform/errors.ts';
import type { EventDraft, RunWork } from '../ports/run-state.ts';
import { ToolAwaitsRun, type CallingRun, type ToolDescriptor, type ToolPort, type ToolReach } from '../ports/tool.ts';
import { stepCompleted, stepStarted, toolCallCompleted, toolCallRequested } from '../events/drafts.ts';
import type { RequestedToolCall } from './conversation.ts';
import { deadlineMs } from './decide.ts';
import { spanIdOf, toolCallIdOf, traceparentAt } from './ids.ts';
import { mayReach, toolPermission, type ToolEntitlement } from './permissions.ts';
import { DEFAULT_BACKOFF, asAgentOsError, withRetries, type RetryClock } from './retry.ts';

/** Largest output of a tool, as JSON; more would make the log and the model's prompt unbounded. */
const MAX_TOOL_OUTPUT_BYTES = 128 * 1024;

/** What another attempt cannot change. */
const FINAL_CODES = new Set(['invalid_request', 'forbidden', 'not_found', 'unauthorized', 'policy_blocked']);

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
  const descriptor = descriptors.find((tool) => tool.toolId === toolId);
  if (descriptor === undefined) return { code: 'not_found', message: `There is no tool ${toolId} on this node.`, retryable: false, details: { tool_id: toolId } };
  const beyond = descriptor.reach?.(step.call.input).find((reach) => !mayReach(work.agent.permissions, reach));
  return beyond === undefined ? null : outOfReach(toolId, beyond);
}

const REACH = { agent: 'run the agent', host: 'call the host', memory_read: 'read the memory', memory_write: 'write to the memory' } as const;

const outOfReach = (toolId: string, { kind, name }: ToolReach): ToolError => ({
  code: 'forbidden',
  message: `This agent may not ${REACH[kind]} ${name}: its permissions do not name it.`,
  retryable: false,
  details: { tool_id: toolId, reason: `${kind}_not_permitted`, name },
});

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

/** Makes the call and answers the events of its outcome. Rejects only when the signal aborted, and with ToolAwaitsRun. */
export async function callTool(tools: ToolPort, clock: RetryClock, step: ToolStep, signal: AbortSignal): Promise<readonly EventDraft[]> {
  const { work } = step;
  const startedMs = clock.now();
  const endMs = deadlineMs(work);
  const { backoffMs, maxBackoffMs, toolAttempts } = { ...DEFAULT_BACKOFF, ...work.agent.retry };
  try {
    const output = await withRetries(
      () => invokeOnce(tools, step, Math.max(1, Math.min(work.agent.limits.toolTimeoutMs, endMs - clock.now())), signal),
      { attempts: work.agent.onToolFailure === 'retry' ? toolAttempts : 1, baseMs: backoffMs, maxMs: maxBackoffMs, deadlineMs: endMs, mayRetry: (error) => !FINAL_CODES.has(error.code) },
      clock,
      signal,
    );
    if (output instanceof ToolAwaitsRun) throw output;
    const bytes = Buffer.byteLength(JSON.stringify(output ?? null));
    if (bytes > MAX_TOOL_OUTPUT_BYTES) return closing(step, { status: 'error', output: null, error: tooLarge(step, bytes), durationMs: clock.now() - startedMs });
    return closing(step, { status: 'ok', output: output ?? null, error: null, durationMs: clock.now() - startedMs });
  } catch (thrown) {
    if (signal.aborted || thrown instanceof ToolAwaitsRun) throw thrown;
    return closing(step, { status: 'error', output: null, error: toolError(asAgentOsError(thrown)), durationMs: clock.now() - startedMs });
  }
}

/** That the call waits for another run is no failure that another attempt could mend, so it comes back as a value. */
async function invokeOnce(tools: ToolPort, step: ToolStep, timeoutMs: number, signal: AbortSignal): Promise<unknown> {
  const { work } = step;
  const invoked = tools.invoke(work.auth, {
    toolId: step.toolId,
    input: step.call.input,
    toolCallId: toolCallIdOf(work.runId, step.step),
    timeoutMs,
    signal,
    traceparent: traceparentAt(work.traceparent, spanIdOf(work.runId, step.step)),
    run: callingRun(step),
  });
  return invoked.catch((error: unknown) => {
    if (error instanceof ToolAwaitsRun) return error;
    throw error;
  });
}

function callingRun({ work, step }: ToolStep): CallingRun {
  return {
    runId: work.runId,
    rootRunId: work.lineage?.rootRunId ?? work.runId,
    depth: work.lineage?.depth ?? 0,
    agentId: work.agentId,
    permissions: work.agent.permissions ?? {},
    denylist: work.tooling.denylist,
    priority: work.options.priority,
    startedMs: Date.parse(work.startedAt ?? work.createdAt),
    deadlineMs: deadlineMs(work),
    step,
    correlationId: work.correlationId,
  };
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
