/**
 * ReplicaPort: events of runs that execute elsewhere, kept here (PRS 7.3, 7.4; Appendix F.5). At-least-once in, each
 * once out: an event id, and a (run, sequence), is stored at most once for a tenant. Every key begins with the tenant.
 */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

type WireEvent = EventEnvelope['event'];

/**
 * `duplicate`: the very event is there, that is one with its id, run, sequence, type and payload · `conflict`: another
 * event holds its id or its place in the run, or the run is kept from another node.
 */
export type StoreVerdict = 'stored' | 'duplicate' | 'conflict';

export interface ReplicaExtent {
  /** The node that the run's first event came from; events from another are conflicts. */
  readonly sourceStackId: string;
  /** Every sequence from 1 up to it is there; 0: the first is not. */
  readonly contiguousTo: number;
  /** The last event of the run is held, whatever is missing before it. */
  readonly ended: boolean;
}

export interface ReplicaPort {
  capabilities(): PortCapabilities;
  /**
   * All verdicts in the order of `events`, as if they had been stored one after the other, in one transaction, which also
   * holds the record of it (`events.replicate`). Events must be of `auth.tenant_id`: the caller has judged that, the store
   * refuses it again. A late event that fills a gap is stored. @throws AgentOsError forbidden, dependency_unavailable.
   */
  store(auth: AuthContext, sourceStackId: string, events: readonly WireEvent[]): Promise<readonly StoreVerdict[]>;
  /** Events of the run after the sequence, in order, at most `limit`. Empty for a run nobody knows. */
  read(auth: AuthContext, runId: string, after: { readonly sequence: number; readonly limit: number }): Promise<readonly WireEvent[]>;
  /** What is held of a run: null when nothing is. */
  extent(auth: AuthContext, runId: string): Promise<ReplicaExtent | null>;
  /** Resolves true when something new may be there for the run, false when `signal` ends first; also resolves by itself at least every second, since wake-ups may be lost. */
  waitForMore(auth: AuthContext, runId: string, signal: AbortSignal): Promise<boolean>;
  /** Deletes runs of all tenants, with their events, to which nothing has come since; answers how many runs. For retention. */
  deleteExpired(query: { readonly storedBefore: Date; readonly limit: number }): Promise<number>;
}
