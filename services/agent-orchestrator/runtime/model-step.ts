/**
 * One model call of a run: the request of Appendix E.1, the call with its retries, and the events that tell it
 * (Appendix D.5.5, D.5.6). Errors are outcomes here: a model that cannot be reached ends the step, and `decide` ends
 * the run.
 */
import type { ModelRequest, ModelResponse } from '../../../generated/types/index.ts';
import type { AgentOsError } from '../../platform/errors.ts';
import type { ModelPort } from '../ports/model.ts';
import type { RunFailure, RunWork, EventDraft } from '../ports/run-state.ts';
import type { ToolDescriptor } from '../ports/tool.ts';
import { modelCompleted, modelRequested, stepCompleted, stepStarted } from '../events/drafts.ts';
import { canonicalHash } from './canonical.ts';
import { readChatOutput } from './conversation.ts';
import { deadlineMs, modelRefOf } from './decide.ts';
import { requestIdOf, spanIdOf, traceparentAt } from './ids.ts';
import type { Progress } from './progress.ts';
import { DEFAULT_BACKOFF, asAgentOsError, withRetries, type RetryClock } from './retry.ts';

const RETRYABLE_CODES = new Set(['dependency_unavailable', 'rate_limited', 'timeout', 'internal_error']);

const stepName = (progress: Progress): string => (progress.toolCalls === 0 ? 'model_call' : 'continue_with_tool_results');

function requirementsOf(work: RunWork): Record<string, number> {
  const { maxLatencyMs, maxCostUsd, minContextTokens } = work.agent.requirements;
  return {
    ...(maxLatencyMs === undefined ? {} : { max_latency_ms: maxLatencyMs }),
    ...(maxCostUsd === undefined ? {} : { max_cost_usd: maxCostUsd }),
    ...(minContextTokens === undefined ? {} : { min_context_tokens: minContextTokens }),
  };
}

/** The request of a step; the same step always makes the same request, under the same `request_id`. */
export function modelRequestOf(work: RunWork, progress: Progress, step: number, tools: readonly ToolDescriptor[], toolChoice: string): ModelRequest {
  const forced = tools.find((tool) => tool.toolId === toolChoice);
  return {
    request_id: requestIdOf(work.runId, step),
    operation: 'chat',
    model_ref: modelRefOf(work),
    requirements: requirementsOf(work),
    context: { run_id: work.runId, agent_id: work.agent.agentId },
    input: {
      messages: [...progress.messages],
      ...(tools.length === 0
        ? {}
        : {
            tools: tools.map((tool) => ({ tool_id: tool.toolId, name: tool.name, description: tool.description, input_schema: tool.inputSchema })),
            tool_choice: forced?.name ?? (toolChoice === 'none' ? 'none' : 'auto'),
          }),
    },
  } as ModelRequest;
}

/**
 * What the fold and the decision make of the log, as one number. A replay that arrives at another number has been given
 * another log, or has come to read it differently. 128 bits, hexadecimal.
 */
export function inputHashOf(progress: Pick<Progress, 'messages'>, toolIds: readonly string[], toolChoice: string): string {
  return canonicalHash({ messages: progress.messages, tools: toolIds, tool_choice: toolChoice }).slice(0, 32);
}

export function modelStepOpening(work: RunWork, progress: Progress, step: number, tools: readonly ToolDescriptor[], toolChoice: string): readonly EventDraft[] {
  return [
    stepStarted(work.runId, step, { step_kind: 'model', name: stepName(progress), message: `Asking ${modelRefOf(work)}` }),
    modelRequested(work.runId, step, {
      model_ref: modelRefOf(work),
      operation: 'chat',
      requirements: requirementsOf(work),
      input_summary: { messages: progress.messages.length, has_tools: tools.length > 0 },
      input_hash: inputHashOf(progress, tools.map((tool) => tool.toolId), toolChoice),
      ...(tools.length === 0 ? {} : { tools: tools.map(({ toolId, name }) => ({ tool_id: toolId, name })) }),
    }),
  ];
}

export interface ModelStepCall {
  readonly work: RunWork;
  readonly progress: Progress;
  readonly step: number;
  readonly request: ModelRequest;
  readonly signal: AbortSignal;
  /** How long a Model Policy that is away, as it is while it restarts, costs none of the agent's attempts; 0 when absent. */
  readonly outageGraceMs?: number | undefined;
}

/** Nobody took the call, as opposed to every other way in which it can fail. */
const isAway = ({ code, details }: AgentOsError): boolean => code === 'dependency_unavailable' && (details['reason'] === 'unreachable' || details['reason'] === 'circuit_open');

/** Makes the call and answers the events of its outcome. Rejects only when the signal aborted. */
export async function callModel(model: ModelPort, clock: RetryClock, call: ModelStepCall): Promise<readonly EventDraft[]> {
  const { work, step, request, signal } = call;
  const { backoffMs, maxBackoffMs, modelAttempts } = { ...DEFAULT_BACKOFF, ...work.agent.retry };
  const startedMs = clock.now();
  const endMs = Math.min(deadlineMs(work), startedMs + work.agent.limits.modelTimeoutMs);
  try {
    const response = await withRetries(
      () =>
        model.chat(work.auth, request, {
          timeoutMs: Math.max(1, endMs - clock.now()),
          signal,
          traceparent: traceparentAt(work.traceparent, spanIdOf(work.runId, step)),
          correlationId: work.correlationId,
        }),
      {
        attempts: modelAttempts, baseMs: backoffMs, maxMs: maxBackoffMs, deadlineMs: endMs,
        mayRetry: (error) => error.retryable && RETRYABLE_CODES.has(error.code),
        outage: { isOne: isAway, graceMs: call.outageGraceMs ?? 0 },
      },
      clock,
      signal,
    );
    return answered(call, response, clock.now() - startedMs);
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    return failed(call, asAgentOsError(thrown), clock.now() - startedMs);
  }
}

function answered(call: ModelStepCall, response: ModelResponse, durationMs: number): readonly EventDraft[] {
  const turn = readChatOutput(response.output);
  const ok = response.status !== 'error' && turn !== null;
  const error: RunFailure = {
    code: 'internal_error',
    message: 'Model Policy answered with neither text nor tool calls.',
    retryable: true,
    details: { service: 'model-policy', reason: 'empty_model_answer' },
  };
  return closing(call, ok, durationMs, {
    usage: response.usage,
    latency_ms: response.latency_ms,
    policy_outcome: response.policy_outcome,
    route: response.route,
    ...(ok ? { output: response.output } : { error }),
  });
}

function failed(call: ModelStepCall, error: AgentOsError, durationMs: number): readonly EventDraft[] {
  const details = error.code === 'dependency_unavailable' ? { service: 'model-policy', ...error.details } : error.details;
  const outcome = error.details['policy_outcome'];
  return closing(call, false, durationMs, {
    latency_ms: Math.round(durationMs),
    ...(outcome === undefined ? {} : { policy_outcome: outcome }),
    error: { code: error.code, message: error.message, retryable: error.retryable, details } satisfies RunFailure,
  });
}

function closing(call: ModelStepCall, ok: boolean, durationMs: number, payload: Readonly<Record<string, unknown>>): readonly EventDraft[] {
  const { work, progress, step } = call;
  const status = ok ? 'ok' : 'error';
  return [
    modelCompleted(work.runId, step, { model_ref: modelRefOf(work), operation: 'chat', status, ...payload }),
    stepCompleted(work.runId, step, { status, step_kind: 'model', name: stepName(progress), duration_ms: Math.round(durationMs) }),
  ];
}
