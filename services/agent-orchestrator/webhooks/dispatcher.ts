/**
 * Delivers run events to webhooks.
 *
 * The protocol. A delivery exists as soon as its event does (ports/webhooks.ts). A dispatcher leases a webhook, so that
 * one process at a time delivers for it; within it, runs go side by side up to a bound and the events of one run one
 * after the other: the next is sent once the outcome of the one before is stored. An outcome is stored under the
 * lease; whoever lost the lease stores nothing and stops. So an event is sent again, under the same webhook-id, only
 * when a process died or was overtaken between sending and storing; receivers tell by that id (at least once).
 *
 * A tenant that is suspended or to be deleted sends nothing. Its lease is then not given back but left to run out, so
 * that it is looked at again once a lease and not at each poll.
 *
 * Waiting is by polling, a few times a second while there is something to do: a tenant without webhooks pays nothing,
 * and no run waits for a delivery.
 */
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../platform/ids.ts';
import type { DeliveryOutcome, DispatcherIdentity, WebhookLease, WebhookPort } from '../ports/webhooks.ts';
import type { Deliver } from './attempt.ts';
import { EndpointDelivery } from './endpoint.ts';
import { DEFAULT_SCHEDULE, type RetrySchedule } from './judgement.ts';

export interface DispatcherOptions {
  /** Webhooks held at once. */
  readonly webhooks: number;
  /** Deliveries under way at once for one webhook. */
  readonly concurrency: number;
  /** Longest wait for an endpoint's answer. */
  readonly timeoutMs: number;
  readonly leaseMs: number;
  /** Between looks for work while there is none. */
  readonly pollMs: number;
  /** Between looks for work of a webhook that had some lately, for `lingerMs`. */
  readonly activePollMs: number;
  readonly lingerMs: number;
  /** Deliveries that ended are remembered for so long. */
  readonly keepEndedMs: number;
  readonly schedule: RetrySchedule;
}

export const DEFAULT_DISPATCHER_OPTIONS: DispatcherOptions = {
  webhooks: 64, concurrency: 8, timeoutMs: 15_000, leaseMs: 15_000, pollMs: 1_000, activePollMs: 100, lingerMs: 5_000, keepEndedMs: 7 * 86_400_000, schedule: DEFAULT_SCHEDULE,
};

export interface DispatcherDependencies {
  readonly webhooks: WebhookPort;
  readonly deliver: Deliver;
  readonly log: Logger;
  /** Whether the tenant is served now; asked before each look for deliveries. Absent: every tenant is. */
  readonly isServed?: (tenantId: string) => Promise<boolean>;
  readonly onSettled?: (outcome: DeliveryOutcome) => void;
  readonly random?: () => number;
}

const PRUNE_EVERY_MS = 600_000;

export class WebhookDispatcher {
  readonly identity: DispatcherIdentity = { workerId: newId('wrk') };
  readonly #dependencies: DispatcherDependencies;
  readonly #options: DispatcherOptions;
  readonly #held = new Map<string, { readonly endpoint: EndpointDelivery; readonly done: Promise<void> }>();
  readonly #stopping = new AbortController();
  readonly #ended = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(dependencies: DispatcherDependencies, options: Partial<DispatcherOptions> = {}) {
    this.#dependencies = dependencies;
    this.#options = { ...DEFAULT_DISPATCHER_OPTIONS, ...options };
  }

  /** Webhooks held now. */
  get held(): number {
    return this.#held.size;
  }

  start(): void {
    this.#loops = Promise.all([
      this.#loop(this.#options.pollMs, this.#stopping.signal, () => this.#claim()),
      this.#loop(Math.floor(this.#options.leaseMs * 0.3), this.#ended.signal, () => this.#extend()),
      this.#loop(PRUNE_EVERY_MS, this.#stopping.signal, () => this.#prune()),
    ]);
  }

  /** Takes nothing new; what is being sent gets up to `drainMs`; leases are given back. */
  async stop(drainMs = 0): Promise<void> {
    this.#stopping.abort();
    const held = [...this.#held.values()];
    const settled = Promise.all(held.map(({ done }) => done));
    for (const { endpoint } of held) endpoint.finish();
    if (drainMs > 0) await Promise.race([settled, sleep(drainMs, undefined, { ref: false })]);
    for (const { endpoint } of held) endpoint.abandon();
    await settled;
    this.#ended.abort();
    await this.#loops;
  }

  async #loop(everyMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await work().catch((error: unknown) => this.#dependencies.log.warn({ err: error }, 'Webhook dispatching met a failure; trying again.'));
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #claim(): Promise<void> {
    const free = this.#options.webhooks - this.#held.size;
    if (free <= 0) return;
    const leases = await this.#dependencies.webhooks.claim(this.identity, { limit: free, leaseMs: this.#options.leaseMs });
    for (const lease of leases) this.#serve(lease);
  }

  #serve(lease: WebhookLease): void {
    const endpoint = new EndpointDelivery(lease, this.#dependencies, this.#options);
    const done = endpoint
      .run()
      .catch((error: unknown) => this.#dependencies.log.warn({ err: error, tenant_id: lease.tenantId, webhook_id: lease.webhookId }, 'Delivering for a webhook broke off; it is taken up again.'))
      .finally(async () => {
        this.#held.delete(lease.token);
        if (endpoint.withheld) return;
        // Where this fails the lease runs out by itself.
        await this.#dependencies.webhooks.release(lease).catch(() => undefined);
      });
    this.#held.set(lease.token, { endpoint, done });
    // Stopping began between the claim and here.
    if (this.#stopping.signal.aborted) endpoint.finish();
  }

  async #extend(): Promise<void> {
    const leases = [...this.#held.values()].map(({ endpoint }) => endpoint.lease);
    if (leases.length === 0) return;
    for (const lost of await this.#dependencies.webhooks.extend(this.identity, leases, this.#options.leaseMs)) this.#held.get(lost.token)?.endpoint.abandon();
  }

  async #prune(): Promise<void> {
    while (!this.#stopping.signal.aborted && (await this.#dependencies.webhooks.prune(this.identity, this.#options.keepEndedMs)) > 0);
  }
}
