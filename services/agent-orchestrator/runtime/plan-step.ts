/**
 * The plan of a dry run: what the run would ask, offer and be refused, and what policy says of its input. Policy is
 * asked, because it answers without effect; no model and no tool is called (Appendix D.1, `dry_run`).
 */
import type { AgentOsError } from '../../platform/errors.ts';
import type { ModelPort } from '../ports/model.ts';
import type { EventDraft, RunOutput, RunPlan, RunWork } from '../ports/run-state.ts';
import type { ToolDescriptor } from '../ports/tool.ts';
import { stepCompleted, stepStarted } from '../events/drafts.ts';
import { deadlineMs, effectiveLimits, modelRefOf } from './decide.ts';
import { requestIdOf, spanIdOf, traceparentAt } from './ids.ts';
import { toolPermission, type ToolEntitlement } from './permissions.ts';
import type { Progress } from './progress.ts';
import { DEFAULT_BACKOFF, asAgentOsError, withRetries, type RetryClock } from './retry.ts';

const NAME = 'plan';
/** The longest text that policy judges at once. */
const MAX_POLICY_CHARACTERS = 200_000;

export const planStepOpening = (runId: string, step: number): readonly EventDraft[] => [stepStarted(runId, step, { step_kind: 'plan', name: NAME, message: 'Planning without effects' })];

export interface PlanStep {
  readonly work: RunWork;
  readonly progress: Progress;
  readonly step: number;
  readonly descriptors: readonly ToolDescriptor[];
  readonly entitlement: ToolEntitlement;
  readonly signal: AbortSignal;
}

/** Answers the event that ends the step. Rejects only when the signal aborted. */
export async function makePlan(model: ModelPort, clock: RetryClock, plan: PlanStep): Promise<EventDraft> {
  const { work, step, signal } = plan;
  const startedMs = clock.now();
  const done = () => ({ step_kind: 'plan' as const, name: NAME, duration_ms: Math.round(clock.now() - startedMs) });
  try {
    const output = outputOf(plan, await policyOutcome(model, clock, plan));
    return stepCompleted(work.runId, step, { status: 'ok', ...done(), output });
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    const { code, message, retryable, details } = asAgentOsError(thrown);
    return stepCompleted(work.runId, step, { status: 'error', ...done(), error: { code, message, retryable, details: code === 'dependency_unavailable' ? { service: 'model-policy', ...details } : details } });
  }
}

async function policyOutcome(model: ModelPort, clock: RetryClock, { work, progress, step, signal }: PlanStep): Promise<NonNullable<RunPlan['policy_outcome']>> {
  const endMs = Math.min(deadlineMs(work), clock.now() + work.agent.limits.modelTimeoutMs);
  const { backoffMs, maxBackoffMs, modelAttempts } = { ...DEFAULT_BACKOFF, ...work.agent.retry };
  const text = progress.messages.map((message) => message.content).join('\n').slice(0, MAX_POLICY_CHARACTERS);
  const result = await withRetries(
    () =>
      model.policyCheck(work.auth, { request_id: requestIdOf(work.runId, step), content: { type: 'text', text } }, {
        timeoutMs: Math.max(1, endMs - clock.now()),
        signal,
        traceparent: traceparentAt(work.traceparent, spanIdOf(work.runId, step)),
        correlationId: work.correlationId,
      }),
    { attempts: modelAttempts, baseMs: backoffMs, maxMs: maxBackoffMs, deadlineMs: endMs, mayRetry: (error: AgentOsError) => error.retryable },
    clock,
    signal,
  );
  return { decision: result.decision, reasons: result.reasons, redactions: result.redactions };
}

const REASONS = { denylisted: 'tool_denymap', not_entitled: 'not_entitled', not_an_agent_tool: 'not_in_agent', not_in_allowlist: 'not_allowlisted' } as const;

function outputOf({ work, progress, descriptors, entitlement }: PlanStep, policy: NonNullable<RunPlan['policy_outcome']>): RunOutput {
  const permitted: string[] = [];
  const denied: RunPlan['tools_denied'] = [];
  for (const toolId of new Set([...work.agent.tools, ...(work.tooling.allowlist ?? [])])) {
    const permission = toolPermission(toolId, { entitlement, agent: work.agent, tooling: work.tooling });
    if (!permission.allowed) denied.push({ tool_id: toolId, reason: REASONS[permission.reason] });
    else if (descriptors.some((tool) => tool.toolId === toolId)) permitted.push(toolId);
    else denied.push({ tool_id: toolId, reason: 'unknown_tool' });
  }
  const { maxSteps, timeoutMs } = effectiveLimits(work.agent, work.options);
  const tools = permitted.length === 0 ? 'no tools' : `the tools ${permitted.join(', ')}`;
  const refused = denied.length === 0 ? '' : ` Refused would be ${denied.map(({ tool_id, reason }) => `${tool_id} (${reason})`).join(', ')}.`;
  return {
    type: 'plan',
    text: `Dry run: agent ${work.agent.agentId} (version ${work.agent.version}) would ask ${modelRefOf(work)} with ${progress.messages.length} messages and offer ${tools}. Policy: ${policy.decision}.${refused} No model and no tool was called.`,
    plan: { model_ref: modelRefOf(work), policy_outcome: policy, tools_permitted: permitted, tools_denied: denied, limits: { max_steps: maxSteps, timeout_ms: timeoutMs } },
  };
}
