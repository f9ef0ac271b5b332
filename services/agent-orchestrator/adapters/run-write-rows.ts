/** What a flush of writes is made of, what it sends to the database, and what it reads from it. */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { AdvanceResult, CreateRunResult, EventDraft, NewRun, RunLease, RunRecord, RunTransition } from '../ports/run-state.ts';
import type { GivenRanks } from '../tenancy/fairness.ts';
import { PRIORITY_LEVEL, type RunRow, type StoredWork } from './run-rows.ts';

export type CreateWrite = { readonly kind: 'create'; readonly auth: AuthContext; readonly run: NewRun };
export type AdvanceWrite = { readonly kind: 'advance'; readonly auth: AuthContext; readonly lease: RunLease; readonly transition: RunTransition; /** Told once it is committed. */ readonly applied?: Applied };
export type Applied = (time: string, lastSequence: number, bytes: number) => void;
export type CancelWrite = { readonly kind: 'cancel'; readonly auth: AuthContext; readonly runId: string; readonly canceled: EventDraft };
export type RunWrite = CreateWrite | AdvanceWrite | CancelWrite;
export type RunVerdict = CreateRunResult | AdvanceResult | RunRecord;

export function createRow({ auth, run }: CreateWrite, queueRank: number, token: string | null): Record<string, unknown> {
  const handover = token === null ? null : run.handover!;
  const work: StoredWork = { auth, input: run.input, context: run.context, agent: run.agent };
  return {
    tenant_id: auth.tenant_id,
    run_id: run.runId,
    agent_id: run.agent.agentId,
    agent_version: run.agent.version,
    correlation_id: run.correlationId,
    traceparent: run.traceparent,
    principal_id: auth.principal.principal_id,
    idempotency_key: run.idempotency?.key ?? null,
    request_hash: run.idempotency?.requestHash ?? null,
    ttl_hours: run.idempotency?.ttlHours ?? null,
    request: { options: run.options, tooling: run.tooling, labels: run.labels, lineage: run.lineage },
    work,
    priority: PRIORITY_LEVEL[run.options.priority],
    queue_rank: queueRank,
    last_seq: handover === null ? 1 : 2 + handover.opening.length,
    step: handover === null || handover.opening.length === 0 ? 0 : 1,
    token,
    worker: handover?.workerId ?? null,
    lease_ms: handover?.leaseMs ?? null,
  };
}

export function firstEvents({ auth, run }: CreateWrite, handedOver: boolean): Record<string, unknown>[] {
  const drafts = handedOver ? [run.created, run.handover!.started, ...run.handover!.opening] : [run.created];
  return drafts.map((draft, index) => ({
    tenant_id: auth.tenant_id,
    run_id: run.runId,
    sequence: index + 1,
    event_id: draft.eventId,
    type: draft.type,
    step_id: draft.stepId,
    span_id: draft.spanId,
    payload: draft.payload,
  }));
}

export interface LockRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly active: number;
  readonly arrival_ms: number;
  readonly last_ranks: GivenRanks;
}
export interface AppliedRow extends pg.QueryResultRow {
  readonly ord: number;
  readonly last_seq: number;
  readonly now_ms: number;
}
export interface QueueRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly low: number | null;
  readonly normal: number | null;
  readonly high: number | null;
  readonly smallest: number | null;
  /** null: it was not counted. */
  readonly queued: number | null;
  readonly now_ms: number;
}
export type KeyRow = RunRow & { readonly ord: number; readonly request_hash: string };
export interface BackRow extends pg.QueryResultRow {
  readonly ord: number;
  readonly status: RunRecord['status'];
  readonly step: number;
  readonly last_seq: number;
  readonly written: boolean;
}
