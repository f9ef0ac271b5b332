/**
 * QueuePort: which run is worked on next, by whom, until when (PRS 5.2, HLD 10.2).
 *
 * The queue holds no content: it hands out leases on runs that RunStatePort has stored as queued, so the two ports
 * of one adapter family share a store. Claims take expired leases first, then tenants in turn.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { EventDraft, RunLease, RunWork } from './run-state.ts';

/** A worker process. Claims span tenants, so they carry the worker's identity in place of a tenant's context. */
export interface WorkerIdentity {
  readonly workerId: string;
}

export interface ClaimedRun {
  readonly lease: RunLease;
  readonly run: RunWork;
  /** What the run's transitions have written so far, where whoever handed the run over knows it; absent: it is read. */
  readonly log?: readonly EventDraft[];
}

export interface ClaimOptions {
  /** At most so many runs. */
  readonly limit: number;
  readonly leaseMs: number;
  /**
   * A run claimed more often than this without a transition of its own in between is failed with `internal_error`,
   * reason `poisoned`, in place of being handed out. A long run whose workers die now and then is none of these.
   */
  readonly maxAttempts: number;
  /** Makes the `agentos.run.started` draft, stored with the first claim of a run and not again. */
  readonly started: (run: { readonly tenantId: string; readonly runId: string }) => EventDraft;
  /** Makes the terminal draft of a poisoned run. */
  readonly poisoned: (run: { readonly tenantId: string; readonly runId: string; readonly attempts: number }) => EventDraft;
}

export interface QueueDepth {
  readonly queued: number;
  readonly running: number;
  /** Sum over tenants of |counter − rows|; must read 0. */
  readonly drift: number;
}

/** Runs of one tenant that have not ended. */
export interface TenantLoad {
  readonly queued: number;
  readonly running: number;
}

export interface QueuePort {
  capabilities(): PortCapabilities;
  /** Tells waiting workers, here and in other processes, that a stored run can be claimed. Losing it delays by a poll at most. */
  enqueue(auth: AuthContext, runId: string): void;
  /** Hands out leases on runs; an empty list when nothing can be claimed now. */
  claim(worker: WorkerIdentity, options: ClaimOptions): Promise<readonly ClaimedRun[]>;
  /** Resolves when there may be work, after `maxWaitMs` at the latest, or when the signal aborts. */
  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void>;
  /** Extends the leases by `leaseMs` from the database's now; answers those that are no longer held. */
  heartbeat(worker: WorkerIdentity, leases: readonly RunLease[], leaseMs: number): Promise<readonly RunLease[]>;
  /**
   * Gives a run back, to be claimed again after `delayMs`. Without a delay the claim does not count against
   * `maxAttempts`: nothing was wrong with the run. Nothing happens when the lease is no longer held.
   */
  release(auth: AuthContext, lease: RunLease, delayMs: number): Promise<void>;
  /**
   * Sets a run aside that waits for something: the lease is given up, no slot is held, and the run stays `running`. It
   * can be claimed again after `wake` or after `maxWaitMs`, whatever comes first, and counts as having got further. False
   * when the lease is no longer held.
   */
  park(auth: AuthContext, lease: RunLease, maxWaitMs: number): Promise<boolean>;
  /** Lets a parked run be claimed now; nothing happens to any other run. */
  wake(auth: AuthContext, runId: string): Promise<void>;
  /**
   * Calls `listener` for each run that another process has written to, with its newest sequence, until the returned function is called. For a run
   * that a worker holds it means that the run was canceled or taken over. A hint: what is missed, the next heartbeat
   * finds. Absent where nobody else can write.
   */
  onWrittenElsewhere?(listener: (tenantId: string, runId: string, lastSequence: number) => void): () => void;
  depth(worker: WorkerIdentity): Promise<QueueDepth>;
  /** For each of these tenants, zeros included; for the metrics of operators. */
  loads(worker: WorkerIdentity, tenantIds: readonly string[]): Promise<ReadonlyMap<string, TenantLoad>>;
}
