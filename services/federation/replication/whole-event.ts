/** An event as older nodes send it, made whole (C-28, C-45): members in the order of the contract, what else it has behind them. */
import type { EventWire } from '../../../generated/types/index.ts';
import type { WireEvent } from './event-digest.ts';

export interface KnownOfRun {
  readonly tenantId: string;
  readonly agentId: string;
  /** Of the request that brought the event. */
  readonly traceparent: string;
}

const NO_SPAN = '0000000000000000';

export function wholeEvent(event: EventWire, known: KnownOfRun): WireEvent {
  const { event_id, sequence, time, type, tenant_id: _tenant, agent_id, run_id, step_id, trace, payload, ...others } = event;
  const { traceparent = known.traceparent, span_id: spanId, ...more } = (trace ?? {}) as Partial<WireEvent['trace']>;
  return {
    event_id, sequence,
    time: time ?? new Date().toISOString(),
    type,
    tenant_id: known.tenantId,
    agent_id: agent_id ?? known.agentId,
    run_id,
    step_id: step_id ?? null,
    trace: { traceparent, span_id: spanId ?? traceparent.split('-')[2] ?? NO_SPAN, ...more },
    payload: payload ?? {},
    ...others,
  } as WireEvent;
}
