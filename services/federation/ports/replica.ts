/**
 * ReplicaPort: events of runs that execute elsewhere, kept here (PRS 7.3, 7.4; Appendix F.5). At-least-once in, each
 * once out: an event id, and a (run, sequence), is stored at most once for a tenant. Every key begins with the tenant.
 */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

type WireEvent = EventEnvelope['event'];

/** `duplicate`: the very event is there · `conflict`: another event holds its id or its place in the run. */
export type StoreVerdict = 'stored' | 'duplicate' | 'conflict';

export interface ReplicaPort {
  capabilities(): PortCapabilities;
  /**
   * All verdicts in the order of `events`, in one transaction. Events must be of `auth.tenant_id`: the caller has judged
   * that, the store refuses it again. A late event that fills a gap is stored. @throws AgentOsError forbidden, dependency_unavailable.
   */
  store(auth: AuthContext, sourceStackId: string, events: readonly WireEvent[]): Promise<readonly StoreVerdict[]>;
  /** Events of the run after the sequence, in order, at most `limit`. Empty for a run nobody knows. */
  read(auth: AuthContext, runId: string, after: { readonly sequence: number; readonly limit: number }): Promise<readonly WireEvent[]>;
  /** What is held of a run: null when nothing is. `contiguousTo`: every sequence from 1 up to it is there; `ended`: the last event of the run is among them. */
  extent(auth: AuthContext, runId: string): Promise<{ readonly sourceStackId: string; readonly contiguousTo: number; readonly ended: boolean } | null>;
  /** Resolves true when something new may be there for the run, false when `signal` ends first; also resolves by itself at least every second, since wake-ups may be lost. */
  waitForMore(auth: AuthContext, runId: string, signal: AbortSignal): Promise<boolean>;
}
