/** GET /v1/webhooks/{webhook_id}/deliveries: newest runs first, and of a run the newest event first. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { WebhookPort } from '../ports/webhooks.ts';
import { deliveryCursor, deliveryToWire } from './webhook-wire.ts';

export const listWebhookDeliveries = (webhooks: WebhookPort): AgentOrchestratorHandlers['listWebhookDeliveries'] =>
  async ({ path, query, auth, context }) => {
    const found = await webhooks.listDeliveries(auth, path.webhook_id, {
      limit: query.limit,
      ...(query.state === undefined ? {} : { state: query.state }),
      ...(query.after === undefined ? {} : { after: deliveryCursor(query.after) }),
    });
    return { status: 200, body: { deliveries: found.deliveries.map(deliveryToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
