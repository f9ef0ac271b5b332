/** Webhooks in Postgres: leases on rows of `orchestrator.webhooks`, outcomes of many webhooks in one commit. */
import type pg from 'pg';
import { AuditTrail, withAudit } from '../../platform/audit/audit-trail.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { FlushRolledBackError, GroupCommit } from '../../platform/db/group-commit.ts';
import type { SecretBox } from '../../platform/secrets/secret-box.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { DeliveryOutcome, DeliveryRecord, DeliveryState, DispatcherIdentity, DueDelivery, DueQuery, ListDeliveriesQuery, NewWebhook, WebhookDefinition, WebhookLease, WebhookPort, WebhookRecord, WebhookTarget } from '../ports/webhooks.ts';
import { traceparentAt } from '../runtime/ids.ts';
import { changeAsTenant, deed } from './audited-change.ts';
import { readAsTenant } from './postgres-read.ts';
import { isoOrNull, isoTime, storableJson } from './run-rows.ts';
import { tooManyWebhooks, webhookKeyReused, webhookNotFound } from './webhook-refusals.ts';
import * as sql from './webhooks-postgres-sql.ts';

interface WebhookRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly url: string;
  readonly event_types: readonly string[];
  readonly agent_ids: readonly string[] | null;
  readonly enabled: boolean;
  readonly description: string | null;
  readonly created_ms: number;
  readonly updated_ms: number;
  readonly success_ms: number | null;
  readonly failure_ms: number | null;
  readonly consecutive_failures: number;
  readonly disabled_reason: string | null;
}

interface TargetRow extends pg.QueryResultRow {
  readonly url: string;
  readonly secret: string;
  readonly previous_secret: string | null;
  readonly consecutive_failures: number;
}

interface DueRow extends TargetRow {
  readonly run_id: string | null;
  readonly sequence: number;
  readonly event_id: string;
  readonly attempts: number;
  readonly age_ms: number;
  readonly agent_id: string | null;
  readonly traceparent: string;
  readonly type: string | null;
  readonly time_ms: number;
  readonly step_id: string | null;
  readonly span_id: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

interface DeliveryRow extends pg.QueryResultRow {
  readonly run_id: string;
  readonly sequence: number;
  readonly event_id: string;
  readonly type: string;
  readonly attempts: number;
  readonly state: DeliveryState;
  readonly last_status_code: number | null;
  readonly last_error: string | null;
  readonly next_ms: number | null;
  readonly created_ms: number;
  readonly delivered_ms: number | null;
}

interface Settlement {
  readonly lease: WebhookLease;
  readonly outcome: DeliveryOutcome;
}

export class PostgresWebhooks implements WebhookPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #box: SecretBox;
  readonly #settlements: GroupCommit<Settlement, boolean>;

  constructor(pool: pg.Pool, box: SecretBox, trail: AuditTrail = new AuditTrail({ service: 'agent-orchestrator' })) {
    this.#pool = pool;
    this.#trail = trail;
    this.#box = box;
    this.#settlements = new GroupCommit({ flush: (batch) => flushSettlements(pool, batch), key: ({ lease }) => `${lease.tenantId} ${lease.webhookId}` });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  /** Resolves when every outcome that was handed over is stored. */
  close(): Promise<void> {
    return this.#settlements.close();
  }

  async create(auth: AuthContext, webhook: NewWebhook): Promise<{ readonly webhook: WebhookRecord; readonly replayed: boolean }> {
    const { webhookId, idempotency, limit } = webhook;
    const values = [
      auth.tenant_id, webhookId, webhook.url, webhook.eventTypes, webhook.agentIds, webhook.enabled, webhook.description,
      this.#box.seal(webhook.secret, placeOf(auth.tenant_id, webhookId)), auth.principal.principal_id, idempotency?.key ?? null, idempotency?.requestHash ?? null, limit,
    ];
    return withAudit(this.#pool, this.#trail, auth.tenant_id, async (client, note) => {
      await client.query({ ...sql.LOCK_WEBHOOKS, values: [auth.tenant_id] });
      const known = idempotency === null ? undefined : (await client.query<WebhookRow>({ ...sql.FIND_BY_KEY, values: [auth.tenant_id, auth.principal.principal_id, idempotency.key] })).rows[0];
      if (known !== undefined && known['request_hash'] !== idempotency!.requestHash) throw webhookKeyReused(known.webhook_id);
      if (known !== undefined) return { webhook: recordOf(known), replayed: true };
      const { rows } = await client.query<WebhookRow>({ ...sql.CREATE_WEBHOOK, values });
      if (rows[0] === undefined) throw tooManyWebhooks(limit);
      note(auth, deed('webhook', 'create', webhookId, { enabled: webhook.enabled, event_types: webhook.eventTypes }));
      return { webhook: recordOf(rows[0]), replayed: false };
    });
  }

  async get(auth: AuthContext, webhookId: string): Promise<WebhookRecord> {
    const [row] = await readAsTenant<WebhookRow>(this.#pool, auth.tenant_id, sql.GET_WEBHOOK, [auth.tenant_id, webhookId]);
    if (row === undefined) throw webhookNotFound(webhookId);
    return recordOf(row);
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly webhooks: readonly WebhookRecord[]; readonly hasMore: boolean }> {
    const rows = await readAsTenant<WebhookRow>(this.#pool, auth.tenant_id, sql.LIST_WEBHOOKS, [auth.tenant_id, query.after ?? '', query.limit + 1]);
    return { webhooks: rows.slice(0, query.limit).map(recordOf), hasMore: rows.length > query.limit };
  }

  async replace(auth: AuthContext, webhookId: string, definition: WebhookDefinition, rotation: { readonly secret: string; readonly overlapMs: number } | null): Promise<WebhookRecord> {
    const { url, eventTypes, agentIds, enabled, description } = definition;
    const values = [auth.tenant_id, webhookId, url, eventTypes, agentIds, enabled, description, rotation === null ? null : this.#box.seal(rotation.secret, placeOf(auth.tenant_id, webhookId)), rotation?.overlapMs ?? 0];
    const replaced = deed('webhook', 'update', webhookId, { enabled, event_types: eventTypes, rotated: rotation !== null });
    const [row] = await changeAsTenant<WebhookRow>(this.#pool, this.#trail, auth, sql.REPLACE_WEBHOOK, values, ({ length }) => (length === 0 ? null : replaced));
    if (row === undefined) throw webhookNotFound(webhookId);
    return recordOf(row);
  }

  async delete(auth: AuthContext, webhookId: string): Promise<void> {
    const deleted = await withAudit(this.#pool, this.#trail, auth.tenant_id, async (client, note) => {
      const { rowCount } = await client.query({ ...sql.DELETE_WEBHOOK, values: [auth.tenant_id, webhookId] });
      if (rowCount === 1) await client.query({ ...sql.DELETE_DELIVERIES, values: [auth.tenant_id, webhookId] });
      if (rowCount === 1) note(auth, deed('webhook', 'delete', webhookId));
      return rowCount === 1;
    });
    if (!deleted) throw webhookNotFound(webhookId);
  }

  async target(auth: AuthContext, webhookId: string): Promise<WebhookTarget> {
    const [row] = await readAsTenant<TargetRow>(this.#pool, auth.tenant_id, sql.GET_TARGET, [auth.tenant_id, webhookId]);
    if (row === undefined) throw webhookNotFound(webhookId);
    return this.#targetOf(row, auth.tenant_id, webhookId);
  }

  async listDeliveries(auth: AuthContext, webhookId: string, query: ListDeliveriesQuery): Promise<{ readonly deliveries: readonly DeliveryRecord[]; readonly hasMore: boolean }> {
    await this.get(auth, webhookId);
    const values = [auth.tenant_id, webhookId, query.after?.runId ?? null, query.after?.sequence ?? null, query.limit + 1, query.state ?? null];
    const rows = await readAsTenant<DeliveryRow>(this.#pool, auth.tenant_id, sql.LIST_DELIVERIES, values);
    return { deliveries: rows.slice(0, query.limit).map((row) => deliveryOf(webhookId, row)), hasMore: rows.length > query.limit };
  }

  async claim(worker: DispatcherIdentity, options: { readonly limit: number; readonly leaseMs: number }): Promise<readonly WebhookLease[]> {
    const rows = await withScheduler(this.#pool, async (client) => (await client.query<{ tenant_id: string; webhook_id: string; lease_token: string }>({ ...sql.CLAIM_WEBHOOKS, values: [options.limit, worker.workerId, options.leaseMs] })).rows);
    return rows.map((row) => ({ tenantId: row.tenant_id, webhookId: row.webhook_id, token: row.lease_token }));
  }

  async due(lease: WebhookLease, query: DueQuery): Promise<{ readonly target: WebhookTarget; readonly deliveries: readonly DueDelivery[] } | null> {
    const values = [lease.tenantId, lease.webhookId, lease.token, query.runs, query.perRun, query.exceptRuns];
    const rows = await readAsTenant<DueRow>(this.#pool, lease.tenantId, sql.DUE_DELIVERIES, values);
    const first = rows[0];
    if (first === undefined) return null;
    return { target: this.#targetOf(first, lease.tenantId, lease.webhookId), deliveries: first.run_id === null ? [] : rows.map((row) => dueOf(lease.tenantId, row)) };
  }

  settle(lease: WebhookLease, outcome: DeliveryOutcome): Promise<boolean> {
    return this.#settlements.submit({ lease, outcome });
  }

  async extend(_worker: DispatcherIdentity, leases: readonly WebhookLease[], leaseMs: number): Promise<readonly WebhookLease[]> {
    if (leases.length === 0) return [];
    const rows = JSON.stringify(leases.map((lease) => ({ tenant_id: lease.tenantId, webhook_id: lease.webhookId, token: lease.token })));
    const kept = await withScheduler(this.#pool, async (client) => (await client.query<{ token: string }>({ ...sql.EXTEND_WEBHOOKS, values: [rows, leaseMs] })).rows);
    const tokens = new Set(kept.map((row) => row.token));
    return leases.filter((lease) => !tokens.has(lease.token));
  }

  async release(lease: WebhookLease): Promise<void> {
    await withTenant(this.#pool, lease.tenantId, (client) => client.query({ ...sql.RELEASE_WEBHOOK, values: [lease.tenantId, lease.webhookId, lease.token] }));
  }

  async prune(_worker: DispatcherIdentity, olderThanMs: number): Promise<number> {
    return withScheduler(this.#pool, async (client) => {
      const ended = await client.query({ ...sql.PRUNE_DELIVERIES, values: [olderThanMs] });
      const orphans = await client.query(sql.PRUNE_ORPHANS);
      return (ended.rowCount ?? 0) + (orphans.rowCount ?? 0);
    });
  }

  #targetOf(row: TargetRow, tenantId: string, webhookId: string): WebhookTarget {
    const secrets = [row.secret, row.previous_secret].filter((sealed) => sealed !== null);
    return { url: row.url, secrets: secrets.map((sealed) => this.#box.open(sealed, placeOf(tenantId, webhookId))), consecutiveFailures: row.consecutive_failures };
  }
}

const placeOf = (tenantId: string, webhookId: string): readonly string[] => [tenantId, 'webhook', webhookId];

async function flushSettlements(pool: pg.Pool, batch: readonly Settlement[]): Promise<ReadonlyArray<boolean | Error>> {
  const rows = batch.map(({ lease, outcome }, ord) => ({
    ord,
    tenant_id: lease.tenantId,
    webhook_id: lease.webhookId,
    token: lease.token,
    run_id: outcome.runId,
    sequence: outcome.sequence,
    state: outcome.state,
    status_code: outcome.statusCode,
    error: outcome.error,
    retry_ms: outcome.retryInMs,
    endpoint: outcome.endpoint,
    pause_ms: outcome.pauseMs,
    disable: outcome.disable,
    max_failures: outcome.maxConsecutiveFailures,
    hasten: outcome.hastenOthers,
  }));
  const tenants = [...new Set(batch.map(({ lease }) => lease.tenantId))];
  try {
    const settled = await withTenant(pool, tenants, async (client) => (await client.query<{ ord: number }>({ ...sql.SETTLE_DELIVERIES, values: [storableJson(rows)] })).rows);
    const ords = new Set(settled.map((row) => row.ord));
    return batch.map((_settlement, ord) => ords.has(ord));
  } catch (error) {
    // One unstorable outcome must not fail its neighbours; with the database away all fail alike.
    throw error instanceof AgentOsError && error.code === 'dependency_unavailable' ? error : new FlushRolledBackError(error);
  }
}

const recordOf = (row: WebhookRow): WebhookRecord => ({
  tenantId: row.tenant_id,
  webhookId: row.webhook_id,
  url: row.url,
  eventTypes: row.event_types,
  agentIds: row.agent_ids,
  enabled: row.enabled,
  description: row.description,
  createdAt: isoTime(row.created_ms),
  updatedAt: isoTime(row.updated_ms),
  status: {
    lastSuccessAt: isoOrNull(row.success_ms),
    lastFailureAt: isoOrNull(row.failure_ms),
    consecutiveFailures: row.consecutive_failures,
    disabledReason: row.disabled_reason,
  },
});

const deliveryOf = (webhookId: string, row: DeliveryRow): DeliveryRecord => ({
  webhookId,
  runId: row.run_id,
  sequence: row.sequence,
  eventId: row.event_id,
  type: row.type,
  attempts: row.attempts,
  state: row.state,
  lastStatusCode: row.last_status_code,
  lastError: row.last_error,
  nextAttemptAt: isoOrNull(row.next_ms),
  createdAt: isoTime(row.created_ms),
  deliveredAt: isoOrNull(row.delivered_ms),
});

function dueOf(tenantId: string, row: DueRow): DueDelivery {
  const { run_id: runId, sequence, event_id: eventId, attempts, type, agent_id: agentId } = row;
  const event = type === null || agentId === null
    ? null
    : {
        eventId, sequence, time: isoTime(row.time_ms), type, tenantId, agentId, runId: runId!, stepId: row.step_id,
        trace: { traceparent: traceparentAt(row.traceparent, row.span_id), span_id: row.span_id }, payload: row.payload,
      };
  return { runId: runId!, sequence, eventId, attempts, ageMs: row.age_ms, event };
}
