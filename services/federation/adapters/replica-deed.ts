/** What the audit says of events that were taken over from another node (PRS 10.3), and what the store refuses whoever asks. */
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { StoreVerdict } from '../ports/replica.ts';
import type { WireEvent } from '../replication/event-digest.ts';

/** null: everything was there already, so nothing was done. */
export function replicationDeed(sourceStackId: string, events: readonly WireEvent[], verdicts: readonly StoreVerdict[]): AuditFacts | null {
  const count = (verdict: StoreVerdict): number => verdicts.filter((each) => each === verdict).length;
  const stored = count('stored');
  const conflicts = count('conflict');
  if (stored + conflicts === 0) return null;
  const runs = new Set(events.map((event) => event.run_id));
  return {
    action: 'events.replicate',
    outcome: stored === 0 ? 'denied' : 'allowed',
    peer: sourceStackId,
    ...(runs.size === 1 ? { resource: { type: 'run', id: events[0]!.run_id } } : {}),
    details: { stored, duplicates: count('duplicate'), conflicts, runs: runs.size },
  };
}

/** @throws AgentOsError forbidden. */
export function requireOwnEvents(auth: AuthContext, events: readonly WireEvent[]): void {
  if (events.every((event) => event.tenant_id === auth.tenant_id)) return;
  throw new AgentOsError('forbidden', { message: 'Events of another tenant cannot be stored: an event belongs to the tenant of its run.', details: { reason: 'tenant_mismatch' } });
}
