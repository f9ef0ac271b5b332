/** The index of forwards in memory: the fake of the port, held to the same suite as the Postgres adapter. */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BeginForward, ForwardedTo, ForwardIndexPort, ForwardKey, ForwardRecord, NewForward } from '../ports/forward-index.ts';
import { forwardedElsewhere, forwardNotFound, runForwarded } from './forward-index-rules.ts';

interface StoredForward {
  record: ForwardRecord;
  key: (ForwardKey & { readonly untilMs: number }) | null;
}

const HOUR_MS = 3_600_000;

export class MemoryForwardIndex implements ForwardIndexPort {
  readonly #now: () => number;
  readonly #audit: MemoryAudit;
  /** By tenant, then by forward. */
  readonly #forwards = new Map<string, Map<string, StoredForward>>();

  constructor(now: () => number = Date.now, audit = new MemoryAudit()) {
    this.#now = now;
    this.#audit = audit;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async find(auth: AuthContext, agentId: string, idempotency: ForwardKey): Promise<Exclude<BeginForward, { readonly outcome: 'new' }> | null> {
    return this.#underKey(auth, agentId, idempotency);
  }

  async begin(auth: AuthContext, { forwardId, targetStackId, run, correlationId, idempotency }: NewForward): Promise<BeginForward> {
    const known = idempotency === null ? null : this.#underKey(auth, run.agent_id, idempotency);
    if (known !== null) return known;
    const record: ForwardRecord = {
      forwardId, tenantId: auth.tenant_id, principalId: auth.principal.principal_id, agentId: run.agent_id, targetStackId, correlationId, createdAt: new Date(this.#now()).toISOString(), remote: null,
    };
    const forwards = this.#ofTenant(auth);
    this.#forwards.set(auth.tenant_id, forwards);
    const key = idempotency === null ? null : { key: idempotency.key, requestHash: idempotency.requestHash, untilMs: this.#now() + idempotency.ttlHours * HOUR_MS };
    forwards.set(forwardId, { record, key });
    return { outcome: 'new', forward: structuredClone(record) };
  }

  async complete(auth: AuthContext, forwardId: string, { runId, eventsUrl, status }: ForwardedTo): Promise<ForwardRecord> {
    const stored = this.#ofTenant(auth).get(forwardId);
    if (stored === undefined) throw forwardNotFound(forwardId);
    const { remote } = stored.record;
    if (remote !== null && remote.runId === runId) return structuredClone(stored.record);
    if (remote !== null || this.#byRun(auth, runId) !== undefined) throw forwardedElsewhere(forwardId);
    stored.record = { ...stored.record, remote: { runId, eventsUrl, status } };
    await this.#audit.append(auth, [auditRow('federation', auth, runForwarded(stored.record, stored.record.remote!))]);
    return structuredClone(stored.record);
  }

  async abandon(auth: AuthContext, forwardId: string): Promise<void> {
    const stored = this.#ofTenant(auth).get(forwardId);
    if (stored !== undefined && stored.record.remote === null) stored.key = null;
  }

  async findByRun(auth: AuthContext, remoteRunId: string): Promise<ForwardRecord | null> {
    const found = this.#byRun(auth, remoteRunId);
    return found === undefined ? null : structuredClone(found.record);
  }

  async deleteExpired(before: string, limit: number): Promise<number> {
    let deleted = 0;
    for (const forwards of this.#forwards.values()) {
      for (const [forwardId, { record }] of forwards) {
        if (deleted === limit) return deleted;
        if (Date.parse(record.createdAt) < Date.parse(before) && forwards.delete(forwardId)) deleted += 1;
      }
    }
    return deleted;
  }

  #ofTenant(auth: AuthContext): Map<string, StoredForward> {
    return this.#forwards.get(auth.tenant_id) ?? new Map();
  }

  #byRun(auth: AuthContext, runId: string): StoredForward | undefined {
    return [...this.#ofTenant(auth).values()].find(({ record }) => record.remote?.runId === runId);
  }

  #underKey(auth: AuthContext, agentId: string, { key, requestHash }: ForwardKey): Exclude<BeginForward, { readonly outcome: 'new' }> | null {
    const stored = [...this.#ofTenant(auth).values()].find(
      (each) => each.key?.key === key && each.key.untilMs > this.#now() && each.record.agentId === agentId && each.record.principalId === auth.principal.principal_id,
    );
    if (stored === undefined) return null;
    return stored.key!.requestHash === requestHash ? { outcome: 'repeated', forward: structuredClone(stored.record) } : { outcome: 'key_reused' };
  }
}
