/** GET /v1/webhooks/{webhook_id}: with how its deliveries go, without its secret. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { WebhookPort } from '../ports/webhooks.ts';
import { webhookToWire } from './webhook-wire.ts';

export const getWebhook = (webhooks: WebhookPort): AgentOrchestratorHandlers['getWebhook'] =>
  async ({ path, auth, context }) => ({
    status: 200,
    body: { webhook: webhookToWire(await webhooks.get(auth, path.webhook_id)), correlation_id: context.correlationId, tenant_id: auth.tenant_id },
  });
