/**
 * EventPort: reading and awaiting a run's events (PRS 5.2, Appendix D.4).
 *
 * Appending belongs to RunStatePort, in the transaction of what the event tells. This port reads them back in order
 * and tells waiting readers that there is more; a lost wake-up delays a reader by its own poll, never loses an event.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { RunStatus } from './run-state.ts';

/** The stored event; `api/` puts it into the Appendix D.4 envelope. */
export interface RunEvent {
  readonly eventId: string;
  readonly sequence: number;
  /** ISO 8601 UTC. */
  readonly time: string;
  readonly type: string;
  readonly tenantId: string;
  readonly agentId: string;
  readonly runId: string;
  readonly stepId: string | null;
  readonly trace: { readonly traceparent: string; readonly span_id: string };
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface EventPage {
  /** In order of sequence, without gaps, starting after the cursor. */
  readonly events: readonly RunEvent[];
  /** The run's status and newest sequence as of the same snapshot: a reader is done when the run has ended and it has read up to `lastSequence`. */
  readonly status: RunStatus;
  readonly lastSequence: number;
}

export interface EventPort {
  capabilities(): PortCapabilities;
  /** Events with `sequence > after`, at most `limit`. @throws AgentOsError not_found, also for another tenant's run. */
  read(auth: AuthContext, runId: string, query: { readonly after: number; readonly limit: number }): Promise<EventPage>;
  /** Tells readers in every process that a run has events up to `lastSequence`. Called after commit; coalesced. */
  announce(auth: AuthContext, runId: string, lastSequence: number): void;
  /** Resolves when the run may have events after `after`, after `maxWaitMs` at the latest, or when the signal aborts. */
  wait(auth: AuthContext, runId: string, options: { readonly after: number; readonly maxWaitMs: number; readonly signal: AbortSignal }): Promise<void>;
}
