/** PUT /v1/webhooks/{webhook_id}: another definition; a new secret signs beside the old one for a day. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Subscriptions } from '../webhooks/subscriptions.ts';
import { webhookToWire } from './webhook-wire.ts';

export const replaceWebhook = (subscriptions: Subscriptions): AgentOrchestratorHandlers['replaceWebhook'] =>
  async ({ path, body, auth, context }) => {
    const { webhook, secret } = await subscriptions.replace(auth, path.webhook_id, body);
    return { status: 200, body: { webhook: webhookToWire(webhook, secret), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
