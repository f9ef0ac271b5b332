/** Replicas in memory. */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ReplicaExtent, ReplicaPort, StoreVerdict } from '../ports/replica.ts';
import { isTerminal, type WireEvent } from '../replication/event-digest.ts';
import { judgeEvents, type HeldEvent } from '../replication/judge-events.ts';
import { replicationDeed, requireOwnEvents } from './replica-deed.ts';
import { ReplicaWake } from './replica-wake.ts';

interface HeldRun {
  readonly sourceStackId: string;
  contiguousTo: number;
  ended: boolean;
  storedAtMs: number;
  readonly events: Map<number, HeldEvent & { readonly event: WireEvent }>;
}

interface HeldTenant {
  readonly runs: Map<string, HeldRun>;
  readonly byId: Map<string, HeldEvent>;
}

export class MemoryReplica implements ReplicaPort {
  readonly #audit: MemoryAudit;
  readonly #tenants = new Map<string, HeldTenant>();
  readonly #wake = new ReplicaWake();

  constructor(audit = new MemoryAudit()) {
    this.#audit = audit;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async store(auth: AuthContext, sourceStackId: string, events: readonly WireEvent[]): Promise<readonly StoreVerdict[]> {
    requireOwnEvents(auth, events);
    const tenant = this.#tenants.get(auth.tenant_id) ?? { runs: new Map<string, HeldRun>(), byId: new Map<string, HeldEvent>() };
    this.#tenants.set(auth.tenant_id, tenant);
    const held = events.flatMap(({ event_id, run_id, sequence }) => [tenant.byId.get(event_id), tenant.runs.get(run_id)?.events.get(sequence)]).filter((each) => each !== undefined);
    const { verdicts, fresh } = judgeEvents(events, held, (runId) => (tenant.runs.get(runId)?.sourceStackId ?? sourceStackId) === sourceStackId);
    for (const { event, digest } of fresh) {
      const run = tenant.runs.get(event.run_id) ?? { sourceStackId, contiguousTo: 0, ended: false, storedAtMs: 0, events: new Map() };
      tenant.runs.set(event.run_id, run);
      const entry = { eventId: event.event_id, runId: event.run_id, sequence: event.sequence, digest, event: structuredClone(event) };
      run.events.set(event.sequence, entry);
      tenant.byId.set(event.event_id, entry);
      run.ended ||= isTerminal(event);
      run.storedAtMs = Date.now();
      while (run.events.has(run.contiguousTo + 1)) run.contiguousTo += 1;
    }
    const facts = replicationDeed(sourceStackId, events, verdicts);
    if (facts !== null) this.#audit.add(auditRow('federation', auth, facts));
    for (const runId of new Set(fresh.map(({ event }) => event.run_id))) this.#wake.signal(auth.tenant_id, runId);
    return verdicts;
  }

  async read(auth: AuthContext, runId: string, after: { readonly sequence: number; readonly limit: number }): Promise<readonly WireEvent[]> {
    const events = [...(this.#run(auth, runId)?.events.values() ?? [])].filter(({ sequence }) => sequence > after.sequence).sort((a, b) => a.sequence - b.sequence);
    return structuredClone(events.slice(0, after.limit).map(({ event }) => event));
  }

  async extent(auth: AuthContext, runId: string): Promise<ReplicaExtent | null> {
    const run = this.#run(auth, runId);
    return run === undefined ? null : { sourceStackId: run.sourceStackId, contiguousTo: run.contiguousTo, ended: run.ended };
  }

  waitForMore(auth: AuthContext, runId: string, signal: AbortSignal): Promise<boolean> {
    return this.#wake.wait(auth.tenant_id, runId, signal);
  }

  async deleteExpired({ storedBefore, limit }: { readonly storedBefore: Date; readonly limit: number }): Promise<number> {
    let deleted = 0;
    for (const { runs, byId } of this.#tenants.values()) {
      for (const [runId, run] of runs) {
        if (deleted === limit) return deleted;
        if (run.storedAtMs >= storedBefore.getTime()) continue;
        for (const { eventId } of run.events.values()) byId.delete(eventId);
        runs.delete(runId);
        deleted += 1;
      }
    }
    return deleted;
  }

  #run(auth: AuthContext, runId: string): HeldRun | undefined {
    return this.#tenants.get(auth.tenant_id)?.runs.get(runId);
  }
}
