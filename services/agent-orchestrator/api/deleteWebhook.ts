/** DELETE /v1/webhooks/{webhook_id}: with its deliveries. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { WebhookPort } from '../ports/webhooks.ts';

export const deleteWebhook = (webhooks: WebhookPort): AgentOrchestratorHandlers['deleteWebhook'] =>
  async ({ path, auth }) => {
    await webhooks.delete(auth, path.webhook_id);
    return { status: 204, body: null };
  };
