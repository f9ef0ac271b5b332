/** Records of the domain → objects of the contract. */
import type { Agent, RunEmitted } from '../../../generated/types/index.ts';
import type { AgentPermissions, AgentRecord } from '../ports/agents.ts';
import type { RunLineage, RunRecord } from '../ports/run-state.ts';

/** Appendix D.2 and D.3 at once (C-40 to C-43). */
export function runToWire(run: RunRecord): RunEmitted {
  const { options, summary } = run;
  return {
    tenant_id: run.tenantId,
    agent_id: run.agentId,
    run_id: run.runId,
    status: run.status,
    created_at: run.createdAt,
    started_at: run.startedAt,
    completed_at: run.completedAt,
    events_url: `/v1/runs/${run.runId}/events`,
    run_options: {
      priority: options.priority,
      timeout_ms: options.timeoutMs,
      max_steps: options.maxSteps,
      stream_events: options.streamEvents,
      dry_run: options.dryRun,
      ...(options.modelTier === null ? {} : { model_tier: options.modelTier }),
    },
    summary: { steps_total: summary.stepsTotal, tool_calls_total: summary.toolCallsTotal, model_calls_total: summary.modelCallsTotal },
    output: run.output,
    error: run.error === null ? null : { ...run.error, details: { ...run.error.details } },
    correlation_id: run.correlationId,
    idempotency_key: run.idempotencyKey,
    agent_version: run.agentVersion,
    labels: { ...run.labels },
    ...lineageToWire(run.lineage),
  };
}

/** Only what is so: a run that came by itself looks as the Appendix shows it. */
function lineageToWire(lineage: RunLineage | undefined) {
  if (lineage === undefined) return {};
  const { parentRunId, rootRunId, depth, retryOf } = lineage;
  return {
    ...(parentRunId === undefined ? {} : { parent_run_id: parentRunId }),
    ...(rootRunId === undefined ? {} : { root_run_id: rootRunId }),
    ...(depth === undefined ? {} : { depth }),
    ...(retryOf === undefined ? {} : { retry_of: retryOf }),
  };
}

export function agentToWire(agent: AgentRecord): Agent {
  const { requirements, limits, retry } = agent;
  return {
    agent_id: agent.agentId,
    tenant_id: agent.tenantId,
    name: agent.name,
    description: agent.description,
    version: agent.version,
    status: agent.status,
    created_at: agent.createdAt,
    updated_at: agent.updatedAt,
    instructions: agent.instructions,
    model_ref: agent.modelRef,
    requirements: {
      ...(requirements.maxLatencyMs === undefined ? {} : { max_latency_ms: requirements.maxLatencyMs }),
      ...(requirements.maxCostUsd === undefined ? {} : { max_cost_usd: requirements.maxCostUsd }),
      ...(requirements.minContextTokens === undefined ? {} : { min_context_tokens: requirements.minContextTokens }),
    },
    tools: [...agent.tools],
    tool_choice: agent.toolChoice,
    limits: { max_steps: limits.maxSteps, timeout_ms: limits.timeoutMs, tool_timeout_ms: limits.toolTimeoutMs, model_timeout_ms: limits.modelTimeoutMs },
    retry: {
      model_attempts: retry.modelAttempts,
      tool_attempts: retry.toolAttempts,
      ...(retry.backoffMs === undefined ? {} : { backoff_ms: retry.backoffMs }),
      ...(retry.maxBackoffMs === undefined ? {} : { max_backoff_ms: retry.maxBackoffMs }),
    },
    ...(agent.permissions === undefined ? {} : { permissions: permissionsToWire(agent.permissions) }),
    ...(agent.onToolFailure === undefined ? {} : { on_tool_failure: agent.onToolFailure }),
  };
}

function permissionsToWire({ agents, memory, hosts, principals }: AgentPermissions): NonNullable<Agent['permissions']> {
  return {
    ...(agents === undefined ? {} : { agents: [...agents] }),
    ...(memory === undefined ? {} : { memory: { ...(memory.read === undefined ? {} : { read: [...memory.read] }), ...(memory.write === undefined ? {} : { write: [...memory.write] }) } }),
    ...(hosts === undefined ? {} : { hosts: [...hosts] }),
    ...(principals === undefined ? {} : { principals: [...principals] }),
  };
}
