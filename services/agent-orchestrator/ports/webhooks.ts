/**
 * WebhookPort: a tenant's subscriptions to run events, and the deliveries that they lead to.
 *
 * A delivery comes into being in the transaction that stores its event, once for each webhook that is enabled and
 * matches, so there is nothing to follow and nothing to miss. Dispatching works under a lease on the webhook: one
 * process at a time delivers for an endpoint, which bounds its load and keeps each run's events in order. Every write
 * of a dispatcher is fenced by that lease. See `webhooks/dispatcher.ts` for the protocol.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { RunEvent } from './events.ts';

export interface WebhookRecord {
  readonly tenantId: string;
  readonly webhookId: string;
  readonly url: string;
  /** Types, prefixes such as `agentos.run.*`, or `*`. */
  readonly eventTypes: readonly string[];
  /** null: every agent's runs. */
  readonly agentIds: readonly string[] | null;
  readonly enabled: boolean;
  readonly description: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly status: WebhookStatus;
}

export interface WebhookStatus {
  readonly lastSuccessAt: string | null;
  readonly lastFailureAt: string | null;
  readonly consecutiveFailures: number;
  /** Why deliveries stopped by themselves: `gone` (410), `too_many_failures`; null when they did not. */
  readonly disabledReason: string | null;
}

/** What its owner decides about a webhook. */
export interface WebhookDefinition {
  readonly url: string;
  readonly eventTypes: readonly string[];
  readonly agentIds: readonly string[] | null;
  readonly enabled: boolean;
  readonly description: string | null;
}

export interface NewWebhook extends WebhookDefinition {
  readonly webhookId: string;
  readonly secret: string;
  /** Webhooks that a tenant may have. */
  readonly limit: number;
  readonly idempotency: { readonly key: string; /** SHA-256 (hex) of the canonical validated body. */ readonly requestHash: string } | null;
}

export interface ListDeliveriesQuery {
  readonly limit: number;
  readonly after?: DeliveryCursor;
  readonly state?: DeliveryState;
}

export type DeliveryState = 'pending' | 'delivered' | 'failed';

export interface DeliveryRecord {
  readonly webhookId: string;
  readonly runId: string;
  readonly sequence: number;
  readonly eventId: string;
  readonly type: string;
  readonly attempts: number;
  readonly state: DeliveryState;
  readonly lastStatusCode: number | null;
  readonly lastError: string | null;
  /** null once it is no longer pending. */
  readonly nextAttemptAt: string | null;
  readonly createdAt: string;
  readonly deliveredAt: string | null;
}

/** Newest runs first, and of a run the newest event first. */
export interface DeliveryCursor {
  readonly runId: string;
  readonly sequence: number;
}

/** Where and how to send, read afresh with each look for work. */
export interface WebhookTarget {
  readonly url: string;
  /** The current secret first; while a rotation lasts, the one before it as well. */
  readonly secrets: readonly string[];
  readonly consecutiveFailures: number;
}

export interface DispatcherIdentity {
  readonly workerId: string;
}

/** The right to deliver for a webhook, until it runs out by the store's clock. */
export interface WebhookLease {
  readonly tenantId: string;
  readonly webhookId: string;
  readonly token: string;
}

export interface DueDelivery {
  readonly runId: string;
  readonly sequence: number;
  readonly eventId: string;
  readonly attempts: number;
  /** Milliseconds since the event. */
  readonly ageMs: number;
  /** null when retention has deleted the event. */
  readonly event: RunEvent | null;
}

export interface DueQuery {
  /** Runs at most. */
  readonly runs: number;
  /** Deliveries of each run at most, in order of sequence, beginning with its oldest pending one. */
  readonly perRun: number;
  /** Runs that are being delivered already. */
  readonly exceptRuns: readonly string[];
}

/** What became of one attempt. */
export interface DeliveryOutcome {
  readonly runId: string;
  readonly sequence: number;
  readonly state: DeliveryState;
  readonly statusCode: number | null;
  readonly error: string | null;
  /** For `pending`: when to try again. */
  readonly retryInMs: number;
  /** What it says about the endpoint; `untouched` when nothing was sent. */
  readonly endpoint: 'ok' | 'failed' | 'untouched';
  /** No delivery of this webhook is due before this has passed; 0 for no pause. */
  readonly pauseMs: number;
  /** Stops the webhook. */
  readonly disable: 'gone' | null;
  /** Failures in a row that stop the webhook, this one included. */
  readonly maxConsecutiveFailures: number;
  /** The endpoint is back: what waits for another attempt need not wait any longer. */
  readonly hastenOthers: boolean;
}

export interface WebhookPort {
  capabilities(): PortCapabilities;
  /**
   * `secret` is given to nobody but dispatchers again. The idempotency key of one principal is remembered as long as
   * the webhook lives, and looked up before the limit.
   * @throws AgentOsError conflict (the id is taken; the key was used for something else), quota_exceeded (`limit` webhooks exist).
   */
  create(auth: AuthContext, webhook: NewWebhook): Promise<{ readonly webhook: WebhookRecord; readonly replayed: boolean }>;
  /** @throws AgentOsError not_found, also for another tenant's webhook. */
  get(auth: AuthContext, webhookId: string): Promise<WebhookRecord>;
  /** In order of creation. */
  list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly webhooks: readonly WebhookRecord[]; readonly hasMore: boolean }>;
  /**
   * Enabling a webhook that stopped by itself forgets its failures. A new secret takes the place of the old one,
   * which goes on signing beside it for `overlapMs`.
   * @throws AgentOsError not_found.
   */
  replace(auth: AuthContext, webhookId: string, definition: WebhookDefinition, rotation: { readonly secret: string; readonly overlapMs: number } | null): Promise<WebhookRecord>;
  /** With its deliveries. @throws AgentOsError not_found. */
  delete(auth: AuthContext, webhookId: string): Promise<void>;
  /** Where a test of the webhook goes. @throws AgentOsError not_found. */
  target(auth: AuthContext, webhookId: string): Promise<WebhookTarget>;
  /** @throws AgentOsError not_found. */
  listDeliveries(auth: AuthContext, webhookId: string, query: ListDeliveriesQuery): Promise<{ readonly deliveries: readonly DeliveryRecord[]; readonly hasMore: boolean }>;

  /** Takes webhooks that have something due and are held by nobody. Spans tenants. */
  claim(worker: DispatcherIdentity, options: { readonly limit: number; readonly leaseMs: number }): Promise<readonly WebhookLease[]>;
  /** null when the lease is lost; a target without deliveries when nothing is due, the webhook pauses or is disabled. */
  due(lease: WebhookLease, query: DueQuery): Promise<{ readonly target: WebhookTarget; readonly deliveries: readonly DueDelivery[] } | null>;
  /** Stores an outcome. False when the lease is lost: nothing was stored. */
  settle(lease: WebhookLease, outcome: DeliveryOutcome): Promise<boolean>;
  /** Extends the leases; answers those that are no longer held. */
  extend(worker: DispatcherIdentity, leases: readonly WebhookLease[], leaseMs: number): Promise<readonly WebhookLease[]>;
  /** Nothing happens when the lease is no longer held. */
  release(lease: WebhookLease): Promise<void>;
  /** Forgets deliveries that ended longer ago than this, some thousands at a time; answers how many. Spans tenants. */
  prune(worker: DispatcherIdentity, olderThanMs: number): Promise<number>;
}
