/** Events of a run as another node would tell them. */
import type { EventEnvelope } from '../../generated/types/index.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';

export type WireEvent = EventEnvelope['event'];

/** Its id follows from run and sequence, as that of a real event does. */
export function replicaEvent(auth: Pick<AuthContext, 'tenant_id'>, runId: string, sequence: number, facts: Partial<WireEvent> = {}): WireEvent {
  return {
    event_id: `evt_${runId}_${sequence}`,
    sequence,
    time: new Date(Date.UTC(2026, 0, 1) + (sequence % 1_000_000)).toISOString(),
    type: sequence === 1 ? 'agentos.run.created' : 'agentos.run.step.started',
    tenant_id: auth.tenant_id,
    agent_id: 'agt_demo',
    run_id: runId,
    step_id: null,
    trace: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', span_id: '00f067aa0ba902b7' },
    payload: sequence === 1 ? { status: 'queued' } : { name: 'plan', message: `Step ${sequence}` },
    ...facts,
  };
}

/** A whole run: its last event ends it. */
export function replicaRun(auth: Pick<AuthContext, 'tenant_id'>, runId: string, length: number): WireEvent[] {
  return Array.from({ length }, (_, index) =>
    replicaEvent(auth, runId, index + 1, index + 1 === length ? { type: 'agentos.run.completed', payload: { status: 'completed', output: { type: 'text', text: 'Done.' } } } : {}),
  );
}
