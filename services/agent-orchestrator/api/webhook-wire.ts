/** Records of webhooks → objects of the contract. */
import type { Webhook, WebhookDelivery } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { DeliveryCursor, DeliveryRecord, WebhookRecord } from '../ports/webhooks.ts';

/** `secret` only in the answer that made it. */
export function webhookToWire(webhook: WebhookRecord, secret: string | null = null): Webhook {
  const { status } = webhook;
  return {
    webhook_id: webhook.webhookId,
    url: webhook.url,
    event_types: [...webhook.eventTypes],
    agent_ids: webhook.agentIds === null ? null : [...webhook.agentIds],
    enabled: webhook.enabled,
    description: webhook.description,
    ...(secret === null ? {} : { secret }),
    status: {
      last_success_at: status.lastSuccessAt, last_failure_at: status.lastFailureAt, consecutive_failures: status.consecutiveFailures, disabled_reason: status.disabledReason,
    },
    created_at: webhook.createdAt,
    updated_at: webhook.updatedAt,
  };
}

export function deliveryToWire(delivery: DeliveryRecord): WebhookDelivery {
  return {
    delivery_id: `dlv_${delivery.sequence}_${delivery.runId}`,
    event_id: delivery.eventId,
    run_id: delivery.runId,
    sequence: delivery.sequence,
    type: delivery.type,
    attempts: delivery.attempts,
    state: delivery.state,
    last_status_code: delivery.lastStatusCode,
    last_error: delivery.lastError,
    next_attempt_at: delivery.nextAttemptAt,
    created_at: delivery.createdAt,
    delivered_at: delivery.deliveredAt,
  };
}

/** The place of a delivery_id in the list. @throws AgentOsError invalid_request. */
export function deliveryCursor(deliveryId: string): DeliveryCursor {
  const match = /^dlv_(\d{1,9})_(.+)$/.exec(deliveryId);
  if (match === null) {
    throw new AgentOsError('invalid_request', { message: 'after is not a delivery_id of this list.', details: { errors: [{ path: '/query/after', message: 'must be a delivery_id' }] } });
  }
  return { runId: match[2]!, sequence: Number(match[1]) };
}
