/** A tenant's webhooks: making, changing and testing them. Delivering is the dispatcher's part. */
import type { WebhookWrite } from '../../../generated/types/index.ts';
import type { EgressClient } from '../../platform/egress/egress-client.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { checkedWebhookSecret, newWebhookSecret } from '../../platform/webhooks/standard-webhooks.ts';
import type { WebhookDefinition, WebhookPort, WebhookRecord } from '../ports/webhooks.ts';
import { canonicalHash } from '../runtime/canonical.ts';
import { deliverThrough, type Attempt } from './attempt.ts';
import { testEventOf } from './cloud-event.ts';

/** Every event of a tenant is stored once more for each of its webhooks. */
const MAX_WEBHOOKS = 50;
/** Receivers have a day to learn a new secret. */
const SECRET_OVERLAP_MS = 86_400_000;

export interface Subscriptions {
  /** `secret` is null in a replay: it is shown once. @throws AgentOsError forbidden (the egress rules), conflict, quota_exceeded. */
  create(auth: AuthContext, write: WebhookWrite, idempotencyKey: string | null): Promise<{ readonly webhook: WebhookRecord; readonly secret: string | null; readonly replayed: boolean }>;
  /** `secret` where the write brought a new one. @throws AgentOsError not_found, forbidden. */
  replace(auth: AuthContext, webhookId: string, write: WebhookWrite): Promise<{ readonly webhook: WebhookRecord; readonly secret: string | null }>;
  /** Sends one event now and once. @throws AgentOsError not_found. */
  test(auth: AuthContext, webhookId: string, options: { readonly traceparent: string; readonly signal: AbortSignal }): Promise<Attempt>;
}

export interface SubscriptionsOptions {
  readonly webhooks: WebhookPort;
  readonly egress: EgressClient;
  readonly timeoutMs: number;
}

export function createSubscriptions({ webhooks, egress, timeoutMs }: SubscriptionsOptions): Subscriptions {
  const deliver = deliverThrough(egress);
  const definitionOf = (write: WebhookWrite): WebhookDefinition => ({
    // Refused here as far as it can be known here; a name's addresses are judged with each connection.
    url: egress.policy.checkUrl(write.url).href,
    eventTypes: [...new Set(write.event_types)],
    agentIds: write.agent_ids === undefined || write.agent_ids === null ? null : [...new Set(write.agent_ids)],
    enabled: write.enabled ?? true,
    description: write.description ?? null,
  });
  return {
    async create(auth, write, idempotencyKey) {
      const secret = write.secret === undefined ? newWebhookSecret() : checkedWebhookSecret(write.secret);
      const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, requestHash: canonicalHash(write) };
      const { webhook, replayed } = await webhooks.create(auth, { ...definitionOf(write), webhookId: newId('whk'), secret, limit: MAX_WEBHOOKS, idempotency });
      return { webhook, replayed, secret: replayed ? null : secret };
    },
    async replace(auth, webhookId, write) {
      const secret = write.secret === undefined ? null : checkedWebhookSecret(write.secret);
      const webhook = await webhooks.replace(auth, webhookId, definitionOf(write), secret === null ? null : { secret, overlapMs: SECRET_OVERLAP_MS });
      return { webhook, secret };
    },
    async test(auth, webhookId, { traceparent, signal }) {
      const [webhook, target] = await Promise.all([webhooks.get(auth, webhookId), webhooks.target(auth, webhookId)]);
      return deliver({ url: target.url, secrets: target.secrets, event: testEventOf(webhook, traceparent), timeoutMs, signal });
    },
  };
}
