/** Dispatching over the memory store to a real endpoint. What needs processes and Postgres is in conformance/http/webhooks.test.ts. */
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryRunState } from '../adapters/run-state-memory.ts';
import { MemoryRunStore } from '../adapters/run-store-memory.ts';
import { MemoryWebhooks } from '../adapters/webhooks-memory.ts';
import { startReceiver, type WebhookReceiver } from '../../../conformance/harness/webhook-receiver.ts';
import { contextOf } from '../../../conformance/ports/fixtures.ts';
import { canceled, newRun } from '../../../conformance/ports/run-fixtures.ts';
import { EgressClient } from '../../platform/egress/egress-client.ts';
import { EgressPolicy } from '../../platform/egress/egress-policy.ts';
import { newId } from '../../platform/ids.ts';
import { newWebhookSecret, verifyWebhook } from '../../platform/webhooks/standard-webhooks.ts';
import type { WebhookRecord } from '../ports/webhooks.ts';
import { deliverThrough } from './attempt.ts';
import { WebhookDispatcher, type DispatcherOptions } from './dispatcher.ts';
import { DEFAULT_SCHEDULE } from './judgement.ts';

const TENANT = contextOf('tnt_hooks');
const SECRET = newWebhookSecret();
const FAST: Partial<DispatcherOptions> = { pollMs: 20, activePollMs: 5, lingerMs: 200, leaseMs: 1_000, schedule: { ...DEFAULT_SCHEDULE, baseMs: 40, maxMs: 80 } };
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function setUp(options: Partial<DispatcherOptions> = {}, isServed: () => Promise<boolean> = async () => true) {
  const store = new MemoryRunStore();
  const webhooks = new MemoryWebhooks(store);
  const receiver = await startReceiver();
  const egress = new EgressClient({ policy: new EgressPolicy({ allow: [receiver.allow] }) });
  const startDispatcher = () => {
    const dispatcher = new WebhookDispatcher({ webhooks, deliver: deliverThrough(egress), isServed, log: pino({ level: 'silent' }) }, { ...FAST, ...options });
    dispatcher.start();
    ends.push(() => dispatcher.stop());
    return dispatcher;
  };
  ends.push(() => receiver.close(), () => egress.close());
  const { webhook } = await webhooks.create(TENANT, { url: receiver.url, eventTypes: ['*'], agentIds: null, enabled: true, description: null, webhookId: newId('whk'), secret: SECRET, limit: 5, idempotency: null });
  const runState = new MemoryRunState(store);
  /** A run of two events. */
  const run = async (): Promise<string> => {
    const { runId } = newRun();
    await runState.createRun(TENANT, newRun({ runId }));
    await runState.cancelRun(TENANT, runId, canceled(runId));
    return runId;
  };
  const settled = async (): Promise<void> => {
    for (let left = 500; left > 0; left -= 1) {
      if ((await webhooks.listDeliveries(TENANT, webhook.webhookId, { limit: 500, state: 'pending' })).deliveries.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect.fail('deliveries are still pending');
  };
  return { webhooks, webhook, receiver, run, settled, startDispatcher };
}

const sequencesOf = (receiver: WebhookReceiver, runId: string): number[] => receiver.received.filter(({ body }) => body.runid === runId).map(({ body }) => Number(body.sequence));

describe('delivering', () => {
  it('sends signed CloudEvents that a receiver can verify', async () => {
    const { webhook, receiver, run, settled, startDispatcher } = await setUp();
    startDispatcher();
    const runId = await run();
    await settled();
    expect(receiver.received).toHaveLength(2);
    for (const { headers, raw, body } of receiver.received) {
      expect(verifyWebhook({ headers, body: raw, secrets: [SECRET] }).id).toBe(body.id);
      expect(() => verifyWebhook({ headers, body: raw.replace('queued', 'quened').replace('canceled', 'cancelled'), secrets: [SECRET] })).toThrow(/signed this message/);
      expect(headers['content-type']).toMatch(/^application\/cloudevents\+json/);
      expect(body).toMatchObject({ specversion: '1.0', source: `/v1/runs/${runId}`, subject: runId, tenantid: 'tnt_hooks', agentid: 'agt_suite', datacontenttype: 'application/json' });
    }
    expect(receiver.received.map(({ body }) => [body.type, body.sequence])).toEqual([['agentos.run.created', '1'], ['agentos.run.canceled', '2']]);
    expect(webhook.tenantId).toBe('tnt_hooks');
  });

  it('keeps the order of each run and the bound of the endpoint, over several dispatchers, each event once', async () => {
    const { receiver, run, settled, startDispatcher } = await setUp({ concurrency: 3 });
    receiver.answer(async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
      return { status: 200 };
    });
    const runs = await Promise.all(Array.from({ length: 30 }, run));
    for (let i = 0; i < 4; i += 1) startDispatcher();
    await settled();
    expect(receiver.received).toHaveLength(60);
    for (const runId of runs) expect(sequencesOf(receiver, runId)).toEqual([1, 2]);
    expect(receiver.concurrency.most).toBeLessThanOrEqual(3);
    expect(receiver.concurrency.most).toBeGreaterThan(1);
  });

  it('tries again under the same id, and lets the run wait for it', async () => {
    const { webhooks, webhook, receiver, run, settled, startDispatcher } = await setUp();
    receiver.answer((_received, index) => ({ status: index < 2 ? 500 : 200 }));
    const runId = await run();
    startDispatcher();
    await settled();
    expect(sequencesOf(receiver, runId)).toEqual([1, 1, 1, 2]);
    expect(new Set(receiver.received.slice(0, 3).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect((await webhooks.listDeliveries(TENANT, webhook.webhookId, { limit: 5 })).deliveries.map(({ sequence, state, attempts, lastError }) => [sequence, state, attempts, lastError])).toEqual([[2, 'delivered', 1, null], [1, 'delivered', 3, null]]);
  });

  it('leaves an endpoint alone that asks for it', async () => {
    const { receiver, run, settled, startDispatcher } = await setUp();
    receiver.answer((_received, index) => (index === 0 ? { status: 429, headers: { 'retry-after': '1' } } : { status: 200 }));
    await run();
    startDispatcher();
    await settled();
    expect(receiver.received).toHaveLength(3);
    expect(receiver.received[1]!.at - receiver.received[0]!.at).toBeGreaterThanOrEqual(1_000);
  });

  it('asks an endpoint that is down with one delivery at a time, and delivers the backlog when it is back', async () => {
    const { webhooks, webhook, receiver, run, settled, startDispatcher } = await setUp({ schedule: { ...DEFAULT_SCHEDULE, baseMs: 40, maxMs: 40, downAfter: 3, disableAfter: 100 } });
    let up = false;
    receiver.answer(() => ({ status: up ? 200 : 503 }));
    await Promise.all(Array.from({ length: 20 }, run));
    startDispatcher();
    await receiver.until((received) => received.length >= 16);
    const first = receiver.received.length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    const probes = receiver.received.length - first;
    expect(probes).toBeGreaterThan(0);
    expect(probes, 'one in each pause of 20 to 40 ms').toBeLessThanOrEqual(11);
    expect((await webhooks.get(TENANT, webhook.webhookId)).status.consecutiveFailures).toBeGreaterThanOrEqual(10);
    up = true;
    await settled();
    expect((await webhooks.get(TENANT, webhook.webhookId)).status.consecutiveFailures).toBe(0);
  });

  it('stops at 410 and after too many failures, and goes on when it is enabled again', async () => {
    const { webhooks, webhook, receiver, run, settled, startDispatcher } = await setUp({ schedule: { ...DEFAULT_SCHEDULE, baseMs: 10, maxMs: 10, disableAfter: 4 } });
    const until = async (state: (webhook: WebhookRecord) => boolean): Promise<WebhookRecord> => {
      for (;;) {
        const now = await webhooks.get(TENANT, webhook.webhookId);
        if (state(now)) return now;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const { url, eventTypes, agentIds, description } = webhook;
    receiver.answer(() => ({ status: 500 }));
    const runId = await run();
    startDispatcher();
    expect((await until(({ enabled }) => !enabled)).status).toMatchObject({ disabledReason: 'too_many_failures', consecutiveFailures: 4 });
    receiver.answer(() => ({ status: 200 }));
    await webhooks.replace(TENANT, webhook.webhookId, { url, eventTypes, agentIds, description, enabled: true }, null);
    await settled();
    expect(sequencesOf(receiver, runId)).toEqual([1, 1, 1, 1, 1, 2]);
    receiver.answer(() => ({ status: 410 }));
    await run();
    expect((await until(({ enabled }) => !enabled)).status.disabledReason).toBe('gone');
  });

  it('sends nothing of a tenant that is not served, from the next delivery on, and goes on when it is again', async () => {
    let served = true;
    const { receiver, run, settled, startDispatcher } = await setUp({ leaseMs: 300 }, async () => served);
    startDispatcher();
    const first = await run();
    await settled();
    served = false;
    // Another look is taken within a poll.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const second = await run();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect([sequencesOf(receiver, first), sequencesOf(receiver, second)]).toEqual([[1, 2], []]);
    served = true;
    await settled();
    expect(sequencesOf(receiver, second)).toEqual([1, 2]);
  });

  it('says why there was no answer', async () => {
    const { webhooks, webhook, receiver, run, startDispatcher } = await setUp({ timeoutMs: 60, schedule: { ...DEFAULT_SCHEDULE, baseMs: 60_000 } });
    receiver.answer(() => new Promise(() => {}));
    await run();
    startDispatcher();
    await receiver.until((received) => received.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    const last = (await webhooks.listDeliveries(TENANT, webhook.webhookId, { limit: 5 })).deliveries.at(-1)!;
    expect(last).toMatchObject({ state: 'pending', attempts: 1, lastStatusCode: null, lastError: expect.stringMatching(/did not answer within 60 ms/) as string });
  });
});

describe('stopping', () => {
  it('lets what is being sent finish, and begins nothing more', async () => {
    const { webhooks, webhook, receiver, run, startDispatcher } = await setUp();
    receiver.answer(async () => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      return { status: 200 };
    });
    await run();
    const dispatcher = startDispatcher();
    await receiver.until((received) => received.length === 1);
    await dispatcher.stop(2_000);
    expect(receiver.received).toHaveLength(1);
    expect((await webhooks.listDeliveries(TENANT, webhook.webhookId, { limit: 5 })).deliveries.map(({ state }) => state)).toEqual(['pending', 'delivered']);
    expect(await webhooks.claim({ workerId: 'wrk_next' }, { limit: 5, leaseMs: 1_000 }), 'the lease was given back').toHaveLength(1);
  });

  it('cuts what takes too long, which counts as no attempt', async () => {
    const { webhooks, webhook, receiver, run, startDispatcher } = await setUp();
    receiver.answer(() => new Promise(() => {}));
    await run();
    const dispatcher = startDispatcher();
    await receiver.until((received) => received.length === 1);
    await dispatcher.stop(50);
    expect((await webhooks.listDeliveries(TENANT, webhook.webhookId, { limit: 5 })).deliveries.map(({ state, attempts }) => [state, attempts])).toEqual([['pending', 0], ['pending', 0]]);
    expect((await webhooks.get(TENANT, webhook.webhookId)).status.consecutiveFailures).toBe(0);
  });
});
