/** Webhooks in memory: the fake of the webhooks port, held to the same suite as the Postgres adapter. */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow, type AuditFacts } from '../../platform/audit/audit-row.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { RunEvent } from '../ports/events.ts';
import type { DeliveryOutcome, DeliveryRecord, DispatcherIdentity, DueDelivery, DueQuery, ListDeliveriesQuery, NewWebhook, WebhookDefinition, WebhookLease, WebhookPort, WebhookRecord, WebhookTarget } from '../ports/webhooks.ts';
import { deed } from './audited-change.ts';
import type { MemoryRunStore } from './run-store-memory.ts';
import { tooManyWebhooks, webhookKeyReused, webhookNotFound } from './webhook-refusals.ts';

interface StoredDelivery {
  readonly event: RunEvent;
  state: DeliveryRecord['state'];
  attempts: number;
  statusCode: number | null;
  error: string | null;
  nextAtMs: number;
  endedAtMs: number | null;
}

interface StoredWebhook {
  record: WebhookRecord;
  secret: string;
  readonly key: { readonly key: string; readonly requestHash: string; readonly principalId: string } | null;
  previous: { readonly secret: string; readonly untilMs: number } | null;
  pausedUntilMs: number;
  lease: { readonly token: string; untilMs: number } | null;
  /** When it was last given back, so that webhooks take turns. */
  servedAtMs: number;
  /** In the order of their events, which for each run is that of its sequences. */
  deliveries: StoredDelivery[];
}

export class MemoryWebhooks implements WebhookPort {
  readonly #now: () => number;
  readonly #audit: MemoryAudit;
  /** By tenant, then by webhook. */
  readonly #webhooks = new Map<string, Map<string, StoredWebhook>>();

  constructor(store: MemoryRunStore, now: () => number = Date.now, audit = new MemoryAudit()) {
    this.#audit = audit;
    this.#now = now;
    store.observe((event) => this.#enqueue(event));
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  /** Of a tenant that was deleted, with their deliveries. Answers how many there were. */
  forgetTenant(tenantId: string): number {
    const webhooks = this.#webhooks.get(tenantId)?.size ?? 0;
    this.#webhooks.delete(tenantId);
    return webhooks;
  }

  async create(auth: AuthContext, webhook: NewWebhook): Promise<{ readonly webhook: WebhookRecord; readonly replayed: boolean }> {
    const webhooks = this.#webhooks.get(auth.tenant_id) ?? new Map<string, StoredWebhook>();
    const { webhookId, secret, limit, idempotency, url, eventTypes, agentIds, enabled, description } = structuredClone(webhook);
    const key = idempotency === null ? null : { ...idempotency, principalId: auth.principal.principal_id };
    const known = key === null ? undefined : [...webhooks.values()].find((stored) => stored.key?.key === key.key && stored.key.principalId === key.principalId);
    if (known !== undefined && known.key!.requestHash !== key!.requestHash) throw webhookKeyReused(known.record.webhookId);
    if (known !== undefined) return { webhook: structuredClone(known.record), replayed: true };
    if (webhooks.has(webhookId)) throw new AgentOsError('conflict', { message: `There is a webhook ${webhookId} already.`, details: { reason: 'already_exists' } });
    if (webhooks.size >= limit) throw tooManyWebhooks(limit);
    const at = this.#iso(this.#now());
    const record: WebhookRecord = {
      tenantId: auth.tenant_id, webhookId, url, eventTypes, agentIds, enabled, description, createdAt: at, updatedAt: at,
      status: { lastSuccessAt: null, lastFailureAt: null, consecutiveFailures: 0, disabledReason: null },
    };
    webhooks.set(webhookId, { record, secret, key, previous: null, pausedUntilMs: 0, lease: null, servedAtMs: 0, deliveries: [] });
    this.#webhooks.set(auth.tenant_id, webhooks);
    this.#note(auth, deed('webhook', 'create', webhookId, { enabled, event_types: eventTypes }));
    return { webhook: structuredClone(record), replayed: false };
  }

  async get(auth: AuthContext, webhookId: string): Promise<WebhookRecord> {
    return structuredClone(this.#find(auth, webhookId).record);
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly webhooks: readonly WebhookRecord[]; readonly hasMore: boolean }> {
    const found = [...(this.#webhooks.get(auth.tenant_id)?.values() ?? [])]
      .map((stored) => stored.record)
      .filter((record) => record.webhookId > (query.after ?? ''))
      .sort((a, b) => (a.webhookId < b.webhookId ? -1 : 1));
    return { webhooks: structuredClone(found.slice(0, query.limit)), hasMore: found.length > query.limit };
  }

  async replace(auth: AuthContext, webhookId: string, definition: WebhookDefinition, rotation: { readonly secret: string; readonly overlapMs: number } | null): Promise<WebhookRecord> {
    const stored = this.#find(auth, webhookId);
    const { url, eventTypes, agentIds, enabled, description } = structuredClone(definition);
    stored.record = {
      ...stored.record, url, eventTypes, agentIds, enabled, description, updatedAt: this.#iso(this.#now()),
      status: { ...stored.record.status, consecutiveFailures: 0, disabledReason: null },
    };
    if (rotation !== null) {
      stored.previous = { secret: stored.secret, untilMs: this.#now() + rotation.overlapMs };
      stored.secret = rotation.secret;
    }
    stored.pausedUntilMs = 0;
    this.#hasten(stored);
    this.#note(auth, deed('webhook', 'update', webhookId, { enabled, event_types: eventTypes, rotated: rotation !== null }));
    return structuredClone(stored.record);
  }

  async delete(auth: AuthContext, webhookId: string): Promise<void> {
    this.#find(auth, webhookId);
    this.#webhooks.get(auth.tenant_id)!.delete(webhookId);
    this.#note(auth, deed('webhook', 'delete', webhookId));
  }

  #note(auth: AuthContext, facts: AuditFacts): void {
    this.#audit.add(auditRow('agent-orchestrator', auth, facts));
  }

  async target(auth: AuthContext, webhookId: string): Promise<WebhookTarget> {
    return this.#targetOf(this.#find(auth, webhookId));
  }

  async listDeliveries(auth: AuthContext, webhookId: string, query: ListDeliveriesQuery): Promise<{ readonly deliveries: readonly DeliveryRecord[]; readonly hasMore: boolean }> {
    const { after, limit } = query;
    const found = this.#find(auth, webhookId).deliveries
      .filter(({ state }) => query.state === undefined || state === query.state)
      .filter(({ event }) => after === undefined || event.runId < after.runId || (event.runId === after.runId && event.sequence < after.sequence))
      .sort((a, b) => (a.event.runId === b.event.runId ? b.event.sequence - a.event.sequence : a.event.runId < b.event.runId ? 1 : -1));
    return { deliveries: found.slice(0, limit).map((delivery) => this.#deliveryOf(webhookId, delivery)), hasMore: found.length > limit };
  }

  async claim(_worker: DispatcherIdentity, options: { readonly limit: number; readonly leaseMs: number }): Promise<readonly WebhookLease[]> {
    const nowMs = this.#now();
    const free = [...this.#webhooks.values()]
      .flatMap((webhooks) => [...webhooks.values()])
      .filter((stored) => this.#isOpen(stored) && (stored.lease === null || stored.lease.untilMs < nowMs))
      .filter((stored) => stored.deliveries.some((delivery) => delivery.state === 'pending' && delivery.nextAtMs <= nowMs))
      .sort((a, b) => a.servedAtMs - b.servedAtMs)
      .slice(0, options.limit);
    return free.map((stored) => {
      stored.lease = { token: newId('lse'), untilMs: nowMs + options.leaseMs };
      return { tenantId: stored.record.tenantId, webhookId: stored.record.webhookId, token: stored.lease.token };
    });
  }

  async due(lease: WebhookLease, query: DueQuery): Promise<{ readonly target: WebhookTarget; readonly deliveries: readonly DueDelivery[] } | null> {
    const stored = this.#held(lease);
    if (stored === null) return null;
    const nowMs = this.#now();
    const runs = new Map<string, StoredDelivery[]>();
    for (const delivery of this.#isOpen(stored) ? stored.deliveries : []) {
      if (delivery.state === 'pending') runs.set(delivery.event.runId, [...(runs.get(delivery.event.runId) ?? []), delivery]);
    }
    const deliveries = [...runs]
      .filter(([runId, pending]) => !query.exceptRuns.includes(runId) && pending[0]!.nextAtMs <= nowMs)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .slice(0, query.runs)
      .flatMap(([, pending]) => pending.slice(0, query.perRun))
      .map(({ event, attempts }) => ({
        runId: event.runId, sequence: event.sequence, eventId: event.eventId, attempts, ageMs: nowMs - Date.parse(event.time), event: structuredClone(event),
      }));
    return { target: this.#targetOf(stored), deliveries };
  }

  async settle(lease: WebhookLease, outcome: DeliveryOutcome): Promise<boolean> {
    const stored = this.#held(lease);
    if (stored === null) return false;
    const nowMs = this.#now();
    this.#noteEndpoint(stored, outcome, nowMs);
    const delivery = stored.deliveries.find(({ event, state }) => state === 'pending' && event.runId === outcome.runId && event.sequence === outcome.sequence);
    if (delivery !== undefined) {
      delivery.state = outcome.state;
      delivery.attempts += outcome.endpoint === 'untouched' ? 0 : 1;
      delivery.statusCode = outcome.statusCode;
      delivery.error = outcome.error;
      delivery.endedAtMs = outcome.state === 'pending' ? null : nowMs;
    }
    if (outcome.hastenOthers) this.#hasten(stored);
    if (delivery !== undefined) delivery.nextAtMs = nowMs + outcome.retryInMs;
    return true;
  }

  async extend(_worker: DispatcherIdentity, leases: readonly WebhookLease[], leaseMs: number): Promise<readonly WebhookLease[]> {
    return leases.filter((lease) => {
      const stored = this.#held(lease);
      if (stored !== null) stored.lease!.untilMs = this.#now() + leaseMs;
      return stored === null;
    });
  }

  async release(lease: WebhookLease): Promise<void> {
    const stored = this.#held(lease);
    if (stored === null) return;
    stored.lease = null;
    stored.servedAtMs = this.#now();
  }

  async prune(_worker: DispatcherIdentity, olderThanMs: number): Promise<number> {
    const before = this.#now() - olderThanMs;
    let pruned = 0;
    for (const stored of [...this.#webhooks.values()].flatMap((webhooks) => [...webhooks.values()])) {
      const kept = stored.deliveries.filter(({ endedAtMs }) => endedAtMs === null || endedAtMs >= before);
      pruned += stored.deliveries.length - kept.length;
      stored.deliveries = kept;
    }
    return pruned;
  }

  #enqueue(event: RunEvent): void {
    for (const stored of this.#webhooks.get(event.tenantId)?.values() ?? []) {
      const { enabled, eventTypes, agentIds } = stored.record;
      if (!enabled || !eventTypes.some((pattern) => matches(pattern, event.type)) || agentIds?.includes(event.agentId) === false) continue;
      stored.deliveries.push({ event: structuredClone(event), state: 'pending', attempts: 0, statusCode: null, error: null, nextAtMs: Date.parse(event.time), endedAtMs: null });
    }
  }

  #noteEndpoint(stored: StoredWebhook, outcome: DeliveryOutcome, nowMs: number): void {
    const { record } = stored;
    const { endpoint, disable } = outcome;
    const at = this.#iso(nowMs);
    const consecutiveFailures = endpoint === 'ok' ? 0 : record.status.consecutiveFailures + (endpoint === 'failed' ? 1 : 0);
    const reason = disable ?? (endpoint === 'failed' && consecutiveFailures >= outcome.maxConsecutiveFailures ? 'too_many_failures' : null);
    if (outcome.pauseMs > 0) stored.pausedUntilMs = nowMs + outcome.pauseMs;
    else if (endpoint === 'ok') stored.pausedUntilMs = 0;
    stored.record = {
      ...record,
      enabled: record.enabled && reason === null,
      status: {
        lastSuccessAt: endpoint === 'ok' ? at : record.status.lastSuccessAt,
        lastFailureAt: endpoint === 'failed' ? at : record.status.lastFailureAt,
        consecutiveFailures,
        disabledReason: record.enabled ? reason : record.status.disabledReason,
      },
    };
  }

  #hasten(stored: StoredWebhook): void {
    for (const delivery of stored.deliveries) if (delivery.state === 'pending' && delivery.attempts > 0) delivery.nextAtMs = this.#now();
  }

  #isOpen(stored: StoredWebhook): boolean {
    return stored.record.enabled && stored.pausedUntilMs <= this.#now();
  }

  /** @throws AgentOsError not_found. */
  #find(auth: AuthContext, webhookId: string): StoredWebhook {
    const stored = this.#webhooks.get(auth.tenant_id)?.get(webhookId);
    if (stored === undefined) throw webhookNotFound(webhookId);
    return stored;
  }

  #held(lease: WebhookLease): StoredWebhook | null {
    const stored = this.#webhooks.get(lease.tenantId)?.get(lease.webhookId);
    return stored?.lease?.token === lease.token ? stored : null;
  }

  #targetOf({ record, secret, previous }: StoredWebhook): WebhookTarget {
    const secrets = previous !== null && previous.untilMs > this.#now() ? [secret, previous.secret] : [secret];
    return { url: record.url, secrets, consecutiveFailures: record.status.consecutiveFailures };
  }

  #deliveryOf(webhookId: string, delivery: StoredDelivery): DeliveryRecord {
    const { event, state, attempts, statusCode, error, nextAtMs, endedAtMs } = delivery;
    return {
      webhookId, runId: event.runId, sequence: event.sequence, eventId: event.eventId, type: event.type, attempts, state, lastStatusCode: statusCode, lastError: error,
      nextAttemptAt: state === 'pending' ? this.#iso(nextAtMs) : null, createdAt: event.time, deliveredAt: state === 'delivered' ? this.#iso(endedAtMs!) : null,
    };
  }

  #iso(ms: number): string {
    return new Date(ms).toISOString();
  }
}

/** As the trigger of migrations/0006-webhooks.ts says it. */
const matches = (pattern: string, type: string): boolean => pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)));
