/** Runs in memory: the fake of the run-state port, held to the same suite as the Postgres adapter. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { WorkerIdentity } from '../ports/queue.ts';
import type { AdvanceResult, CreateRunResult, EventDraft, ListRunsQuery, NewRun, RetentionQuery, RunLease, RunPage, RunRecord, RunStatePort, RunTransition, RunWork } from '../ports/run-state.ts';
import type { MemoryRunStore } from './run-store-memory.ts';
import { timestampMs } from '../../platform/timestamp.ts';

export class MemoryRunState implements RunStatePort {
  readonly #store: MemoryRunStore;

  constructor(store: MemoryRunStore) {
    this.#store = store;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.1', durable: false, features: ['fencing', 'idempotency', 'handover', 'retention'] };
  }

  async createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult> {
    return this.#store.create(auth, run);
  }

  async getRun(auth: AuthContext, runId: string): Promise<RunRecord> {
    return this.#store.record(auth.tenant_id, runId);
  }

  async getWork(auth: AuthContext, runId: string): Promise<RunWork> {
    return this.#store.work(auth.tenant_id, runId);
  }

  async listRuns(auth: AuthContext, query: ListRunsQuery): Promise<RunPage> {
    const { after, limit } = query;
    const direction = query.order === 'oldest' ? 1 : -1;
    const found = this.#store
      .records(auth.tenant_id)
      .filter((run) => (after === undefined || (direction === 1 ? run.runId > after : run.runId < after)) && matches(run, query))
      .sort((a, b) => (a.runId < b.runId ? -direction : direction));
    return { runs: found.slice(0, limit), hasMore: found.length > limit };
  }

  async cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord> {
    return this.#store.cancel(auth, runId, canceled);
  }

  async advance(auth: AuthContext, lease: RunLease, transition: RunTransition): Promise<AdvanceResult> {
    if (auth.tenant_id !== lease.tenantId) throw new AgentOsError('not_found', { message: `There is no run ${lease.runId}.`, details: { run_id: lease.runId } });
    return this.#store.advance(auth, lease, transition);
  }

  async deleteExpired(_worker: WorkerIdentity, query: RetentionQuery): Promise<{ readonly runs: number; readonly keys: number }> {
    return this.#store.deleteExpired(query);
  }
}

function matches(run: RunRecord, query: ListRunsQuery): boolean {
  const { agentId, status, priority, labels, parentRunId, createdAfter, createdBefore } = query;
  if (agentId !== undefined && run.agentId !== agentId) return false;
  if (status !== undefined && ![status].flat().includes(run.status)) return false;
  if (priority !== undefined && run.options.priority !== priority) return false;
  if (parentRunId !== undefined && run.lineage?.parentRunId !== parentRunId) return false;
  if (createdAfter !== undefined && Date.parse(run.createdAt) < timestampMs(createdAfter)) return false;
  if (createdBefore !== undefined && Date.parse(run.createdAt) >= timestampMs(createdBefore)) return false;
  return Object.entries(labels ?? {}).every(([key, value]) => run.labels[key] === value);
}
