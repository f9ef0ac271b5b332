/** POST /v1/federation/runs:forward (Appendix F.3, F.4): from a caller to another node, or from another node to this one. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import { requireSameTenant } from '../../platform/auth/body-auth.ts';
import type { RequestContext } from '../../platform/http/operation-types.ts';
import { formatTraceparent, parseTraceparent } from '../../platform/telemetry/trace-context.ts';
import type { Forwarding } from '../forwarding/forwarding.ts';

export const forwardRun = (forwarding: Forwarding): FederationHandlers['forwardRun'] =>
  async ({ body: { forward }, auth, context }) => {
    requireSameTenant(auth, forward.auth);
    const { correlationId, idempotencyKey } = context;
    const traceparent = traceOf(context, forward.traceparent);
    const command = { forward, correlationId, traceparent, idempotencyKey };
    const { stackId, runId, eventsUrl, status, replayed } = await (auth.peer === undefined ? forwarding.forward(auth, command) : forwarding.receive(auth, command));
    const forwarded = { tenant_id: auth.tenant_id, remote_stack_id: stackId, remote_run_id: runId, remote_events_url: eventsUrl, status };
    return {
      status: 200,
      body: { forwarded, correlation_id: correlationId, tenant_id: auth.tenant_id },
      ...(replayed ? { headers: { 'Idempotency-Replayed': 'true' } } : {}),
    };
  };

/** The header's trace goes before the body's, which goes before a new one. */
function traceOf({ headers, traceparent }: Pick<RequestContext, 'headers' | 'traceparent'>, told: string | undefined): string {
  const span = headers['traceparent'] === undefined ? parseTraceparent(told) : null;
  return span === null ? traceparent : formatTraceparent(span);
}
