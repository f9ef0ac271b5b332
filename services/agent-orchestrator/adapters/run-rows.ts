/** Rows of `orchestrator.runs` ↔ the port's records. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunFailure, RunLineage, RunOptions, RunOutput, RunPriority, RunRecord, RunStatus, RunTooling, RunWork } from '../ports/run-state.ts';

export { storableJson, storableText } from '../../platform/db/storable.ts';

/** Columns of a record; times travel as milliseconds, which is what JavaScript makes dates from. */
export const RUN_COLUMNS = `r.tenant_id, r.run_id, r.agent_id, r.agent_version, r.status,
  (extract(epoch FROM r.created_at) * 1000)::float8 AS created_ms,
  (extract(epoch FROM r.started_at) * 1000)::float8 AS started_ms,
  (extract(epoch FROM r.completed_at) * 1000)::float8 AS completed_ms,
  r.correlation_id, r.traceparent, r.principal_id, r.idempotency_key, r.request,
  r.steps_total, r.tool_calls_total, r.model_calls_total, r.output, r.error, r.last_seq, r.step, r.attempts`;

export interface RunRow {
  readonly tenant_id: string;
  readonly run_id: string;
  readonly agent_id: string;
  readonly agent_version: string;
  readonly status: RunStatus;
  readonly created_ms: number;
  readonly started_ms: number | null;
  readonly completed_ms: number | null;
  readonly correlation_id: string;
  readonly traceparent: string;
  readonly principal_id: string;
  readonly idempotency_key: string | null;
  readonly request: { readonly options: RunOptions; readonly tooling: RunTooling; readonly labels: Readonly<Record<string, string>>; readonly lineage?: RunLineage };
  readonly steps_total: number;
  readonly tool_calls_total: number;
  readonly model_calls_total: number;
  readonly output: RunOutput | null;
  readonly error: RunFailure | null;
  readonly last_seq: number;
  readonly step: number;
  readonly attempts: number;
}

/** What only workers read of a run. */
export interface StoredWork {
  readonly auth: AuthContext;
  readonly input: RunWork['input'];
  readonly context: Readonly<Record<string, unknown>>;
  readonly agent: AgentDefinition;
}

export const isoTime = (ms: number): string => new Date(ms).toISOString();

export const isoOrNull = (ms: number | null): string | null => (ms === null ? null : isoTime(ms));

export function recordOf(row: RunRow): RunRecord {
  return {
    tenantId: row.tenant_id,
    runId: row.run_id,
    agentId: row.agent_id,
    agentVersion: row.agent_version,
    status: row.status,
    createdAt: isoTime(row.created_ms),
    startedAt: isoOrNull(row.started_ms),
    completedAt: isoOrNull(row.completed_ms),
    options: row.request.options,
    tooling: row.request.tooling,
    labels: row.request.labels,
    summary: { stepsTotal: row.steps_total, toolCallsTotal: row.tool_calls_total, modelCallsTotal: row.model_calls_total },
    output: row.output,
    error: row.error,
    correlationId: row.correlation_id,
    traceparent: row.traceparent,
    idempotencyKey: row.idempotency_key,
    principalId: row.principal_id,
    lastSequence: row.last_seq,
    step: row.step,
    attempts: row.attempts,
    ...(row.request.lineage === undefined ? {} : { lineage: row.request.lineage }),
  };
}

/** Higher goes first among the tenant's own queued runs. */
export const PRIORITY_LEVEL: Readonly<Record<RunPriority, 0 | 1 | 2>> = { low: 0, normal: 1, high: 2 };
