/** Runs in memory: the fake of the run-state port, held to the same suite as the Postgres adapter. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AdvanceResult, CreateRunResult, EventDraft, ListRunsQuery, NewRun, RunLease, RunRecord, RunStatePort, RunTransition } from '../ports/run-state.ts';
import type { MemoryRunStore } from './run-store-memory.ts';

export class MemoryRunState implements RunStatePort {
  readonly #store: MemoryRunStore;

  constructor(store: MemoryRunStore) {
    this.#store = store;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: ['fencing', 'idempotency'] };
  }

  async createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult> {
    return this.#store.create(auth, run);
  }

  async getRun(auth: AuthContext, runId: string): Promise<RunRecord> {
    return this.#store.record(auth.tenant_id, runId);
  }

  async listRuns(auth: AuthContext, query: ListRunsQuery): Promise<{ readonly runs: readonly RunRecord[]; readonly hasMore: boolean }> {
    const { agentId, status, after, limit } = query;
    const found = this.#store
      .records(auth.tenant_id)
      .filter((run) => (agentId === undefined || run.agentId === agentId) && (status === undefined || run.status === status) && (after === undefined || run.runId < after))
      .sort((a, b) => (a.runId < b.runId ? 1 : -1));
    return { runs: found.slice(0, limit), hasMore: found.length > limit };
  }

  async cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord> {
    return this.#store.cancel(auth.tenant_id, runId, canceled);
  }

  async advance(auth: AuthContext, lease: RunLease, transition: RunTransition): Promise<AdvanceResult> {
    if (auth.tenant_id !== lease.tenantId) throw new AgentOsError('not_found', { message: `There is no run ${lease.runId}.`, details: { run_id: lease.runId } });
    return this.#store.advance(lease, transition);
  }
}
