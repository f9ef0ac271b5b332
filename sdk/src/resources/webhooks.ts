import type { Webhook, WebhookDelivery, WebhookTestAnswer, WebhookWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** Run events sent to endpoints of the tenant, as signed CloudEvents. */
export class Webhooks {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Webhook> {
    return new PagePromise<Webhook>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/webhooks', { ...init, params: { query: pageQuery(query, after?.webhook_id) } }));
      return { items: list.webhooks as Webhook[], hasMore: list.has_more };
    });
  }

  get(webhookId: string, options: RequestOptions = {}): ApiPromise<Webhook> {
    return this.#session.call('read', options, async (init) =>
      member<Webhook>(await this.#session.orchestrator.GET('/v1/webhooks/{webhook_id}', { ...init, params: { path: { webhook_id: webhookId } } }), 'webhook'),
    );
  }

  /** The answer holds `secret`, this once; a repeat by idempotency key does not. */
  create(webhook: WebhookWrite, options: RequestOptions = {}): ApiPromise<Webhook> {
    return this.#session.call('mutation', options, async (init) => member<Webhook>(await this.#session.orchestrator.POST('/v1/webhooks', { ...init, body: webhook }), 'webhook'));
  }

  /** Without `secret` the secret stays. */
  replace(webhookId: string, webhook: WebhookWrite, options: RequestOptions = {}): ApiPromise<Webhook> {
    return this.#session.call('mutation', options, async (init) =>
      member<Webhook>(await this.#session.orchestrator.PUT('/v1/webhooks/{webhook_id}', { ...init, params: { path: { webhook_id: webhookId } }, body: webhook }), 'webhook'),
    );
  }

  delete(webhookId: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) => this.#session.orchestrator.DELETE('/v1/webhooks/{webhook_id}', { ...init, params: { path: { webhook_id: webhookId } } }));
  }

  /** Sends one test delivery now and says what came of it. */
  test(webhookId: string, options: RequestOptions = {}): ApiPromise<WebhookTestAnswer> {
    return this.#session.call('mutation', options, async (init) =>
      whole<WebhookTestAnswer>(await this.#session.orchestrator.POST('/v1/webhooks/{webhook_id}:test', { ...init, params: { path: { webhook_id: webhookId } } })),
    );
  }

  /** Newest runs first, and of a run the newest event first. */
  deliveries(webhookId: string, query: { readonly state?: WebhookDelivery['state']; readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<WebhookDelivery> {
    return new PagePromise<WebhookDelivery>(async (after) => {
      const params = { path: { webhook_id: webhookId }, query: pageQuery(query, after?.delivery_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/webhooks/{webhook_id}/deliveries', { ...init, params }));
      return { items: list.deliveries as WebhookDelivery[], hasMore: list.has_more };
    });
  }
}
