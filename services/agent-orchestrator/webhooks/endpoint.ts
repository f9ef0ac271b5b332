/** Delivering for one webhook under one lease: runs side by side, the events of each run one after the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeliveryOutcome, DueDelivery, WebhookLease, WebhookTarget } from '../ports/webhooks.ts';
import type { DispatcherDependencies, DispatcherOptions } from './dispatcher.ts';
import { cloudEventOf } from './cloud-event.ts';
import { eventGone, isDown, judge } from './judgement.ts';

/** Deliveries of one run that are fetched together. */
const PER_RUN = 16;

export class EndpointDelivery {
  readonly lease: WebhookLease;
  readonly #dependencies: DispatcherDependencies;
  readonly #options: DispatcherOptions;
  readonly #runs = new Map<string, Promise<void>>();
  /** Nothing new is begun. */
  readonly #finishing = new AbortController();
  /** The lease is lost or time is up: what is being sent is cut. */
  readonly #abandoned = new AbortController();
  #failure: unknown = null;
  #withheld = false;

  constructor(lease: WebhookLease, dependencies: DispatcherDependencies, options: DispatcherOptions) {
    this.lease = lease;
    this.#dependencies = dependencies;
    this.#options = options;
  }

  /** The tenant is not served; what waits goes on waiting. */
  get withheld(): boolean {
    return this.#withheld;
  }

  finish(): void {
    this.#finishing.abort();
  }

  abandon(): void {
    this.#finishing.abort();
    this.#abandoned.abort();
  }

  /** Until nothing has been due for a while, the lease is lost, or it is told to finish. Throws what the store threw. */
  async run(): Promise<void> {
    const { lingerMs, activePollMs } = this.#options;
    let idleSince = performance.now();
    try {
      while (!this.#finishing.signal.aborted && (this.#runs.size > 0 || performance.now() - idleSince < lingerMs)) {
        if (await this.#begin()) idleSince = performance.now();
        const pause = new AbortController();
        const waited = sleep(activePollMs, undefined, { signal: AbortSignal.any([pause.signal, this.#finishing.signal]) }).catch(() => undefined);
        await Promise.race([waited, ...this.#runs.values()]);
        pause.abort();
      }
    } finally {
      this.finish();
      await Promise.all(this.#runs.values());
    }
    if (this.#failure !== null) throw this.#failure;
  }

  /** True when a delivery was begun. */
  async #begin(): Promise<boolean> {
    const { concurrency } = this.#options;
    if ((await this.#dependencies.isServed?.(this.lease.tenantId)) === false) {
      this.#withheld = true;
      this.finish();
      return false;
    }
    if (this.#runs.size >= concurrency) return true;
    const found = await this.#dependencies.webhooks.due(this.lease, { runs: concurrency - this.#runs.size, perRun: PER_RUN, exceptRuns: [...this.#runs.keys()] });
    if (found === null) {
      this.abandon();
      return false;
    }
    const { target } = found;
    const down = isDown(target, this.#options.schedule);
    if (down && this.#runs.size > 0) return false;
    const byRun = new Map<string, DueDelivery[]>();
    for (const delivery of found.deliveries) byRun.set(delivery.runId, [...(byRun.get(delivery.runId) ?? []), delivery]);
    // An endpoint that is taken for down is asked with a single delivery.
    const begun = down ? [...byRun].slice(0, 1).map(([runId, deliveries]) => [runId, deliveries.slice(0, 1)] as const) : [...byRun];
    for (const [runId, deliveries] of begun) this.#launch(runId, target, deliveries);
    return begun.length > 0;
  }

  #launch(runId: string, target: WebhookTarget, deliveries: readonly DueDelivery[]): void {
    const done = this.#deliverRun(target, deliveries)
      .catch((error: unknown) => {
        this.#failure ??= error;
        this.finish();
      })
      .finally(() => this.#runs.delete(runId));
    this.#runs.set(runId, done);
  }

  async #deliverRun(target: WebhookTarget, deliveries: readonly DueDelivery[]): Promise<void> {
    for (const delivery of deliveries) {
      if (this.#finishing.signal.aborted) return;
      const outcome = await this.#attempt(target, delivery);
      if (outcome === null) return;
      if (!(await this.#dependencies.webhooks.settle(this.lease, outcome))) return this.abandon();
      this.#dependencies.onSettled?.(outcome);
      // What comes next of this run waits for this one, and an endpoint that failed is looked at afresh.
      if (outcome.endpoint === 'failed') return;
    }
  }

  /** null when it was cut short by us, which says nothing about the endpoint. */
  async #attempt(target: WebhookTarget, delivery: DueDelivery): Promise<DeliveryOutcome | null> {
    const { schedule, timeoutMs } = this.#options;
    const { event } = delivery;
    if (event === null) return eventGone(delivery, schedule);
    const attempt = await this.#dependencies.deliver({ url: target.url, secrets: target.secrets, event: cloudEventOf(event), timeoutMs, signal: this.#abandoned.signal });
    if (this.#abandoned.signal.aborted && !attempt.delivered) return null;
    return judge(delivery, target, attempt, schedule, this.#dependencies.random);
  }
}
