/** A run as it is at its creation: pure, so that whoever stores it and whoever hands it to a worker agree. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { NewRun, RunLease, RunRecord, RunWork } from './run-state.ts';

/** The record of a run as it is at creation; both adapter families store exactly this, and the first decision is made on it. */
export function newRecord(auth: AuthContext, run: NewRun, createdAt: string): RunRecord {
  return {
    tenantId: auth.tenant_id,
    runId: run.runId,
    agentId: run.agent.agentId,
    agentVersion: run.agent.version,
    status: 'queued',
    createdAt,
    startedAt: null,
    completedAt: null,
    options: run.options,
    tooling: run.tooling,
    labels: run.labels,
    summary: { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 },
    output: null,
    error: null,
    correlationId: run.correlationId,
    traceparent: run.traceparent,
    idempotencyKey: run.idempotency?.key ?? null,
    principalId: auth.principal.principal_id,
    lastSequence: 1,
    step: 0,
    attempts: 0,
    ...(run.lineage === undefined ? {} : { lineage: run.lineage }),
  };
}

/** The run as the worker that it was handed over to holds it; `run` is its record at creation. */
export function handedOverRun(auth: AuthContext, run: NewRun, record: RunRecord, token: string): { readonly lease: RunLease; readonly run: RunWork } {
  const { opening } = run.handover!;
  return {
    lease: { tenantId: record.tenantId, runId: record.runId, token },
    run: {
      ...record,
      status: 'running',
      startedAt: record.createdAt,
      lastSequence: 2 + opening.length,
      step: opening.length === 0 ? 0 : 1,
      attempts: 1,
      auth,
      input: run.input,
      context: run.context,
      agent: run.agent,
    },
  };
}
