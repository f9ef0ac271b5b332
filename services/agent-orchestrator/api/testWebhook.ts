/** POST /v1/webhooks/{webhook_id}:test: one event now, and what the endpoint said to it. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { recorded } from '../../platform/audit/recorded.ts';
import type { Subscriptions } from '../webhooks/subscriptions.ts';

export const testWebhook = (subscriptions: Subscriptions, audit: AuditPort): AgentOrchestratorHandlers['testWebhook'] =>
  async ({ path, auth, context }) => {
    const facts = { action: 'webhook.test', resource: { type: 'webhook', id: path.webhook_id } };
    const attempt = await recorded({ audit, service: 'agent-orchestrator' }, auth, facts, () => subscriptions.test(auth, path.webhook_id, { traceparent: context.traceparent, signal: context.signal }));
    return {
      status: 200,
      body: {
        delivered: attempt.delivered, status_code: attempt.statusCode, error: attempt.error, duration_ms: attempt.durationMs,
        correlation_id: context.correlationId, tenant_id: auth.tenant_id,
      },
    };
  };
