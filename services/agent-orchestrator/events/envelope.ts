/** A stored event in the envelope of Appendix D.4. */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import type { RunEvent } from '../ports/events.ts';

export function eventEnvelope(event: RunEvent): EventEnvelope {
  return {
    event: {
      event_id: event.eventId,
      sequence: event.sequence,
      time: event.time,
      type: event.type,
      tenant_id: event.tenantId,
      agent_id: event.agentId,
      run_id: event.runId,
      step_id: event.stepId,
      trace: { traceparent: event.trace.traceparent, span_id: event.trace.span_id },
      payload: { ...event.payload },
    },
  };
}
