/** GET /v1/webhooks: the tenant's webhooks, in order of their ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { WebhookPort } from '../ports/webhooks.ts';
import { webhookToWire } from './webhook-wire.ts';

export const listWebhooks = (webhooks: WebhookPort): AgentOrchestratorHandlers['listWebhooks'] =>
  async ({ query, auth, context }) => {
    const found = await webhooks.list(auth, query);
    return { status: 200, body: { webhooks: found.webhooks.map((webhook) => webhookToWire(webhook)), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
