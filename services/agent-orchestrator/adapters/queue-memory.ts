/** The queue in memory. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ClaimOptions, ClaimedRun, QueueDepth, QueuePort, TenantLoad, WorkerIdentity } from '../ports/queue.ts';
import type { RunLease } from '../ports/run-state.ts';
import type { MemoryRunStore } from './run-store-memory.ts';

export class MemoryQueue implements QueuePort {
  readonly #store: MemoryRunStore;

  constructor(store: MemoryRunStore) {
    this.#store = store;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.2', durable: false, features: ['fair', 'parking'] };
  }

  enqueue(_auth: AuthContext, _runId: string): void {
    this.#store.wake.signalWork();
  }

  async claim(_worker: WorkerIdentity, options: ClaimOptions): Promise<readonly ClaimedRun[]> {
    this.#store.wake.workSeen();
    return this.#store.claim(options);
  }

  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#store.wake.waitForWork(maxWaitMs, signal);
  }

  async heartbeat(_worker: WorkerIdentity, leases: readonly RunLease[], leaseMs: number): Promise<readonly RunLease[]> {
    return leases.filter((lease) => !this.#store.extend(lease, leaseMs));
  }

  async release(auth: AuthContext, lease: RunLease, delayMs: number): Promise<void> {
    if (auth.tenant_id !== lease.tenantId) return;
    if (this.#store.release(lease, delayMs) && delayMs === 0) this.#store.wake.signalWork();
  }

  async park(auth: AuthContext, lease: RunLease, maxWaitMs: number): Promise<boolean> {
    return auth.tenant_id === lease.tenantId && this.#store.park(lease, maxWaitMs);
  }

  async wake(auth: AuthContext, runId: string): Promise<void> {
    if (this.#store.unpark(auth.tenant_id, runId)) this.#store.wake.signalWork();
  }

  async depth(_worker: WorkerIdentity): Promise<QueueDepth> {
    return this.#store.depth();
  }

  async loads(_worker: WorkerIdentity, tenantIds: readonly string[]): Promise<ReadonlyMap<string, TenantLoad>> {
    return new Map(tenantIds.map((tenantId) => [tenantId, this.#store.loadOf(tenantId)]));
  }
}
