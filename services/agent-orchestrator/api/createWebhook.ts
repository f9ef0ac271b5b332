/** POST /v1/webhooks: run events that are stored from now on go to an endpoint. The secret is answered this once. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Subscriptions } from '../webhooks/subscriptions.ts';
import { webhookToWire } from './webhook-wire.ts';

export const createWebhook = (subscriptions: Subscriptions): AgentOrchestratorHandlers['createWebhook'] =>
  async ({ body, auth, context }) => {
    const { webhook, secret, replayed } = await subscriptions.create(auth, body, context.idempotencyKey);
    const answer = { webhook: webhookToWire(webhook, secret), correlation_id: context.correlationId, tenant_id: auth.tenant_id };
    return replayed ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
