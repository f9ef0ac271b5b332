/**
 * What every WebhookPort must do: a tenant's subscriptions; one delivery for each event that matches, made with the
 * event itself; leases on webhooks; outcomes that only the holder of the lease may store.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { DeliveryOutcome, DeliveryRecord, NewWebhook, WebhookDefinition, WebhookLease, WebhookRecord } from '../../../services/agent-orchestrator/ports/webhooks.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import type { WebhooksHarness } from '../contract.ts';
import { contextOf, expectCapabilities, expectSameRefusal, pause, rejection } from '../fixtures.ts';
import { allEvents, canceled, claimOptions, completion, create, createAndClaim, newRun, step, WORKER } from '../run-fixtures.ts';

const DISPATCHER = { workerId: 'wrk_dispatcher' };
const SECRET = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
const OTHER_SECRET = 'whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=';
const QUERY = { runs: 10, perRun: 10, exceptRuns: [] };

interface Under extends WebhooksHarness {
  /** Every tenant handed out since the last test. */
  readonly tenants: AuthContext[];
}

export function webhooksSuite(createHarness: () => Promise<WebhooksHarness>): void {
  let harness: Under | undefined;
  beforeAll(async () => {
    const made = await createHarness();
    const tenants: AuthContext[] = [];
    harness = { ...made, tenants, newTenant: async () => {
      const tenant = await made.newTenant();
      tenants.push(tenant);
      return tenant;
    } };
  });
  // Claims span tenants: what a test leaves behind would be handed to the next.
  afterEach(async () => {
    for (const tenant of harness?.tenants.splice(0) ?? []) {
      for (const webhook of (await harness!.webhooks.list(tenant, { limit: 200 })).webhooks) await harness!.webhooks.delete(tenant, webhook.webhookId);
      for (const run of (await harness!.runState.listRuns(tenant, { limit: 200 })).runs) {
        if (run.completedAt === null) await harness!.runState.cancelRun(tenant, run.runId, canceled(run.runId));
      }
    }
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('subscriptions', () => subscriptions(under));
  describe('deliveries', () => deliveries(under));
  describe('leases', () => leases(under));
  describe('outcomes', () => outcomes(under));
  describe('endpoints', () => endpoints(under));
  describe('tenants', () => tenantScope(under));
}

function definition(overrides: Partial<WebhookDefinition> = {}): WebhookDefinition {
  return { url: 'https://hooks.example.com/agentos', eventTypes: ['*'], agentIds: null, enabled: true, description: null, ...overrides };
}

async function subscribe(under: WebhooksHarness, auth: AuthContext, overrides: Partial<WebhookDefinition> = {}): Promise<WebhookRecord> {
  return (await under.webhooks.create(auth, newWebhook(overrides))).webhook;
}

function newWebhook(overrides: Partial<NewWebhook> = {}): NewWebhook {
  return { ...definition(), webhookId: newId('whk'), secret: SECRET, limit: 50, idempotency: null, ...overrides };
}

async function delivered(under: WebhooksHarness, auth: AuthContext, webhook: WebhookRecord): Promise<readonly DeliveryRecord[]> {
  return (await under.webhooks.listDeliveries(auth, webhook.webhookId, { limit: 200 })).deliveries;
}

async function hold(under: WebhooksHarness, webhook: WebhookRecord, leaseMs = 30_000): Promise<WebhookLease> {
  const leases = await under.webhooks.claim(DISPATCHER, { limit: 10, leaseMs });
  expect(leases.map((lease) => lease.webhookId)).toEqual([webhook.webhookId]);
  return leases[0]!;
}

function outcome(of: { readonly runId: string; readonly sequence: number }, overrides: Partial<DeliveryOutcome> = {}): DeliveryOutcome {
  return {
    runId: of.runId, sequence: of.sequence, state: 'delivered', statusCode: 200, error: null, retryInMs: 0, endpoint: 'ok', pauseMs: 0, disable: null,
    maxConsecutiveFailures: 10, hastenOthers: false, ...overrides,
  };
}

const failed = (of: { readonly runId: string; readonly sequence: number }, overrides: Partial<DeliveryOutcome> = {}): DeliveryOutcome =>
  outcome(of, { state: 'pending', statusCode: 500, error: 'The endpoint answered 500.', endpoint: 'failed', retryInMs: 60_000, ...overrides });

function subscriptions(under: () => Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().webhooks.capabilities());
  });

  it('gives back what was created, without its secret', async () => {
    const tenant = await under().newTenant();
    const made = await subscribe(under(), tenant, { eventTypes: ['agentos.run.*'], agentIds: ['agt_a'], description: 'Ours' });
    expect(made).toMatchObject({
      tenantId: tenant.tenant_id, url: 'https://hooks.example.com/agentos', eventTypes: ['agentos.run.*'], agentIds: ['agt_a'], enabled: true, description: 'Ours',
      status: { lastSuccessAt: null, lastFailureAt: null, consecutiveFailures: 0, disabledReason: null },
    });
    expect(await under().webhooks.get(tenant, made.webhookId)).toEqual(made);
    expect(JSON.stringify(made)).not.toContain('whsec_');
    expect(await under().webhooks.target(tenant, made.webhookId)).toEqual({ url: made.url, secrets: [SECRET], consecutiveFailures: 0 });
    expect((await rejection(under().webhooks.create(tenant, newWebhook({ webhookId: made.webhookId })))).code).toBe('conflict');
  });

  it('holds a tenant to its number of webhooks, also when many are made at once', async () => {
    const tenant = await under().newTenant();
    const made = await Promise.allSettled(Array.from({ length: 8 }, () => under().webhooks.create(tenant, newWebhook({ limit: 3 }))));
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect((await rejection(under().webhooks.create(tenant, newWebhook({ limit: 3 })))).code).toBe('quota_exceeded');
  });

  it('answers a repeat by its key with what it made, and refuses the key for something else', async () => {
    const tenant = await under().newTenant();
    const idempotency = { key: 'once', requestHash: 'a'.repeat(64) };
    const answers = await Promise.all(Array.from({ length: 6 }, () => under().webhooks.create(tenant, newWebhook({ idempotency, limit: 1 }))));
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(answers.map(({ webhook }) => webhook.webhookId)).size).toBe(1);
    expect((await rejection(under().webhooks.create(tenant, newWebhook({ idempotency: { ...idempotency, requestHash: 'b'.repeat(64) } })))).details).toMatchObject({ reason: 'idempotency_key_reused' });
    expect((await under().webhooks.create(contextOf(tenant.tenant_id, 'usr_other'), newWebhook({ idempotency }))).replayed, 'the key is one principal\'s own').toBe(false);
  });

  it('replaces the definition, and signs with both secrets while a rotation lasts', async () => {
    const tenant = await under().newTenant();
    const made = await subscribe(under(), tenant);
    const replaced = await under().webhooks.replace(tenant, made.webhookId, definition({ url: 'https://other.example.com/', eventTypes: ['agentos.run.completed'] }), { secret: OTHER_SECRET, overlapMs: 150 });
    expect(replaced).toMatchObject({ url: 'https://other.example.com/', eventTypes: ['agentos.run.completed'], createdAt: made.createdAt });
    expect((await under().webhooks.target(tenant, made.webhookId)).secrets).toEqual([OTHER_SECRET, SECRET]);
    await pause(200);
    expect((await under().webhooks.target(tenant, made.webhookId)).secrets).toEqual([OTHER_SECRET]);
    await under().webhooks.replace(tenant, made.webhookId, definition(), null);
    expect((await under().webhooks.target(tenant, made.webhookId)).secrets, 'a definition without a secret keeps it').toEqual([OTHER_SECRET]);
  });

  it('lists in pages, and forgets what was deleted', async () => {
    const tenant = await under().newTenant();
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) ids.push((await subscribe(under(), tenant)).webhookId);
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await under().webhooks.list(tenant, { limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.webhooks.map((webhook) => webhook.webhookId));
      if (!page.hasMore) break;
      after = seen.at(-1)!;
    }
    expect(seen).toEqual(ids);
    await under().webhooks.delete(tenant, ids[0]!);
    expect((await rejection(under().webhooks.get(tenant, ids[0]!))).code).toBe('not_found');
    expect((await rejection(under().webhooks.delete(tenant, ids[0]!))).code).toBe('not_found');
  });
}

function deliveries(under: () => Under): void {
  it('makes one for each event, whoever stored it, in the order of the run', verifies(['PRS-5.2-09'], async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, lease, step(run.runId, 0));
    await under().runState.advance(tenant, lease, step(run.runId, 0));
    await under().runState.advance(tenant, lease, completion(run.runId, 1));
    const canceledRun = await create(under(), tenant);
    await under().runState.cancelRun(tenant, canceledRun.runId, canceled(canceledRun.runId));
    for (const runId of [run.runId, canceledRun.runId]) {
      const events = await allEvents(under(), tenant, runId);
      const made = (await delivered(under(), tenant, webhook)).filter((delivery) => delivery.runId === runId).reverse();
      expect(made.map(({ sequence, eventId, type }) => ({ sequence, eventId, type }))).toEqual(events.map(({ sequence, eventId, type }) => ({ sequence, eventId, type })));
      expect(made.every(({ state, attempts }) => state === 'pending' && attempts === 0)).toBe(true);
    }
    const held = await hold(under(), webhook);
    const due = (await under().webhooks.due(held, { ...QUERY, perRun: 50 }))!.deliveries.filter((delivery) => delivery.runId === run.runId);
    expect(due.map(({ event }) => event)).toEqual(await allEvents(under(), tenant, run.runId));
  }));

  it('makes none for types and agents that were not asked for, nor while disabled, nor for what was before', async () => {
    const tenant = await under().newTenant();
    const early = await create(under(), tenant);
    const byType = await subscribe(under(), tenant, { eventTypes: ['agentos.run.completed', 'agentos.model.*'] });
    const byAgent = await subscribe(under(), tenant, { agentIds: ['agt_other'] });
    const off = await subscribe(under(), tenant, { enabled: false });
    const [claimed] = await under().queue.claim(WORKER, claimOptions());
    await under().runState.advance(tenant, claimed!.lease, step(early.runId, 0));
    await under().runState.advance(tenant, claimed!.lease, completion(early.runId, 1));
    expect((await delivered(under(), tenant, byType)).map(({ type }) => type)).toEqual(['agentos.run.completed', 'agentos.model.requested']);
    expect(await delivered(under(), tenant, byAgent)).toEqual([]);
    expect(await delivered(under(), tenant, off)).toEqual([]);
    const other = newRun();
    await create(under(), tenant, { ...other, agent: { ...other.agent, agentId: 'agt_other' } });
    expect((await delivered(under(), tenant, byAgent)).map(({ runId }) => runId)).toEqual([other.runId]);
  });

  it('takes a dot in a pattern for a dot', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant, { eventTypes: ['agentos.ru.*', 'agentos_run.created', 'agentos.run'] });
    await create(under(), tenant);
    expect(await delivered(under(), tenant, webhook)).toEqual([]);
  });

  it('lists them newest first, in pages', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    for (let i = 0; i < 3; i += 1) {
      const run = await create(under(), tenant);
      await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    }
    const whole = await delivered(under(), tenant, webhook);
    expect(whole).toHaveLength(6);
    expect(whole.map(({ runId, sequence }) => `${runId} ${sequence}`)).toEqual(whole.map(({ runId, sequence }) => `${runId} ${sequence}`).sort().reverse());
    const first = await under().webhooks.listDeliveries(tenant, webhook.webhookId, { limit: 4 });
    const rest = await under().webhooks.listDeliveries(tenant, webhook.webhookId, { limit: 4, after: first.deliveries.at(-1)! });
    expect([first.hasMore, rest.hasMore]).toEqual([true, false]);
    expect([...first.deliveries, ...rest.deliveries]).toEqual(whole);
    const held = await hold(under(), webhook);
    await under().webhooks.settle(held, outcome(whole.at(-1)!));
    const inState = async (state: DeliveryRecord['state']) => (await under().webhooks.listDeliveries(tenant, webhook.webhookId, { limit: 10, state })).deliveries.map(({ eventId }) => eventId);
    expect(await inState('delivered')).toEqual([whole.at(-1)!.eventId]);
    expect(await inState('pending')).toEqual(whole.slice(0, -1).map(({ eventId }) => eventId));
  });
}

function leases(under: () => Under): void {
  it('hands a webhook to one dispatcher at a time, and only when something is due', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    expect(await under().webhooks.claim(DISPATCHER, { limit: 10, leaseMs: 1_000 })).toEqual([]);
    await create(under(), tenant);
    const claims = await Promise.all(Array.from({ length: 5 }, () => under().webhooks.claim(DISPATCHER, { limit: 10, leaseMs: 30_000 })));
    expect(claims.flat()).toHaveLength(1);
    await under().webhooks.release(claims.flat()[0]!);
    await hold(under(), webhook);
  });

  it('passes a lease on when it has run out, and fences who held it', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    await create(under(), tenant);
    const first = await hold(under(), webhook, 100);
    await pause(150);
    const second = await hold(under(), webhook);
    const [due] = (await under().webhooks.due(second, QUERY))!.deliveries;
    expect(await under().webhooks.due(first, QUERY)).toBeNull();
    expect(await under().webhooks.settle(first, outcome(due!))).toBe(false);
    expect(await under().webhooks.extend(DISPATCHER, [first, second], 30_000)).toEqual([first]);
    await under().webhooks.release(first);
    expect((await delivered(under(), tenant, webhook))[0]).toMatchObject({ state: 'pending', attempts: 0 });
    expect(await under().webhooks.settle(second, outcome(due!))).toBe(true);
  });

  it('keeps a lease that is extended', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    await create(under(), tenant);
    const held = await hold(under(), webhook, 200);
    expect(await under().webhooks.extend(DISPATCHER, [held], 30_000)).toEqual([]);
    await pause(250);
    expect(await under().webhooks.claim(DISPATCHER, { limit: 10, leaseMs: 1_000 })).toEqual([]);
  });

  it('holds nobody any more once the webhook is deleted', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const run = await create(under(), tenant);
    const held = await hold(under(), webhook);
    await under().webhooks.delete(tenant, webhook.webhookId);
    expect(await under().webhooks.due(held, QUERY)).toBeNull();
    expect(await under().webhooks.settle(held, outcome({ runId: run.runId, sequence: 1 }))).toBe(false);
  });
}

function outcomes(under: () => Under): void {
  it('goes on in a run only behind what is settled, while other runs go on', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const [one, other] = [await create(under(), tenant), await create(under(), tenant)];
    for (const run of [one, other]) await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    const held = await hold(under(), webhook);
    const due = async (exceptRuns: readonly string[] = []) => (await under().webhooks.due(held, { ...QUERY, exceptRuns }))!.deliveries.map(({ runId, sequence }) => [runId, sequence]);
    expect(await due()).toEqual([[one.runId, 1], [one.runId, 2], [other.runId, 1], [other.runId, 2]]);
    expect(await due([one.runId])).toEqual([[other.runId, 1], [other.runId, 2]]);
    expect((await under().webhooks.due(held, { runs: 1, perRun: 1, exceptRuns: [] }))!.deliveries).toHaveLength(1);
    await under().webhooks.settle(held, failed({ runId: one.runId, sequence: 1 }));
    expect(await due(), 'the first of its run waits, so the second does').toEqual([[other.runId, 1], [other.runId, 2]]);
    await under().webhooks.settle(held, outcome({ runId: other.runId, sequence: 1 }));
    expect(await due()).toEqual([[other.runId, 2]]);
    expect((await delivered(under(), tenant, webhook)).map(({ runId, sequence, state, attempts, lastStatusCode }) => [runId, sequence, state, attempts, lastStatusCode])).toEqual([
      [other.runId, 2, 'pending', 0, null], [other.runId, 1, 'delivered', 1, 200], [one.runId, 2, 'pending', 0, null], [one.runId, 1, 'pending', 1, 500],
    ]);
  });

  it('tries again after the time given, with the count of attempts', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const run = await create(under(), tenant);
    const held = await hold(under(), webhook);
    await under().webhooks.settle(held, failed({ runId: run.runId, sequence: 1 }, { retryInMs: 120 }));
    expect((await under().webhooks.due(held, QUERY))!.deliveries).toEqual([]);
    await pause(170);
    expect((await under().webhooks.due(held, QUERY))!.deliveries).toMatchObject([{ runId: run.runId, sequence: 1, attempts: 1 }]);
    await under().webhooks.settle(held, failed({ runId: run.runId, sequence: 1 }, { state: 'failed', statusCode: null, error: 'Gave up.' }));
    expect((await delivered(under(), tenant, webhook))[0]).toMatchObject({ state: 'failed', attempts: 2, lastStatusCode: null, lastError: 'Gave up.', nextAttemptAt: null, deliveredAt: null });
  });

  it('forgets what ended long ago, and nothing else', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const [done, open] = [await create(under(), tenant), await create(under(), tenant)];
    const held = await hold(under(), webhook);
    await under().webhooks.settle(held, outcome({ runId: done.runId, sequence: 1 }));
    await under().webhooks.prune(DISPATCHER, 60_000);
    expect(await delivered(under(), tenant, webhook)).toHaveLength(2);
    await pause(20);
    expect(await under().webhooks.prune(DISPATCHER, 1)).toBeGreaterThanOrEqual(1);
    expect((await delivered(under(), tenant, webhook)).map(({ runId }) => runId)).toEqual([open.runId]);
  });
}

function endpoints(under: () => Under): void {
  it('counts failures in a row, pauses, and hastens what waits when the endpoint is back', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const runs = [await create(under(), tenant), await create(under(), tenant)];
    const held = await hold(under(), webhook);
    await under().webhooks.settle(held, failed({ runId: runs[0]!.runId, sequence: 1 }));
    await under().webhooks.settle(held, failed({ runId: runs[1]!.runId, sequence: 1 }, { retryInMs: 0, pauseMs: 150 }));
    const paused = await under().webhooks.due(held, QUERY);
    expect(paused).toMatchObject({ target: { consecutiveFailures: 2 }, deliveries: [] });
    await under().webhooks.release(held);
    expect(await under().webhooks.claim(DISPATCHER, { limit: 10, leaseMs: 1_000 })).toEqual([]);
    await pause(200);
    const again = await hold(under(), webhook);
    expect((await under().webhooks.due(again, QUERY))!.deliveries.map(({ runId }) => runId)).toEqual([runs[1]!.runId]);
    await under().webhooks.settle(again, outcome({ runId: runs[1]!.runId, sequence: 1 }, { hastenOthers: true }));
    expect((await under().webhooks.due(again, QUERY))!).toMatchObject({ target: { consecutiveFailures: 0 }, deliveries: [{ runId: runs[0]!.runId }] });
    expect((await under().webhooks.get(tenant, webhook.webhookId)).status).toMatchObject({ consecutiveFailures: 0, lastSuccessAt: expect.any(String) as string, lastFailureAt: expect.any(String) as string });
  });

  it('disables after too many failures or when the endpoint is gone, and takes up again when enabled', async () => {
    const tenant = await under().newTenant();
    const webhook = await subscribe(under(), tenant);
    const run = await create(under(), tenant);
    const held = await hold(under(), webhook);
    const [due] = (await under().webhooks.due(held, QUERY))!.deliveries;
    await under().webhooks.settle(held, failed(due!, { maxConsecutiveFailures: 2 }));
    expect((await under().webhooks.get(tenant, webhook.webhookId)).enabled).toBe(true);
    await under().webhooks.settle(held, failed(due!, { maxConsecutiveFailures: 2 }));
    expect(await under().webhooks.get(tenant, webhook.webhookId)).toMatchObject({ enabled: false, status: { disabledReason: 'too_many_failures', consecutiveFailures: 2 } });
    expect((await under().webhooks.due(held, QUERY))!.deliveries).toEqual([]);
    expect(await under().webhooks.replace(tenant, webhook.webhookId, definition(), null)).toMatchObject({ enabled: true, status: { disabledReason: null, consecutiveFailures: 0 } });
    expect((await under().webhooks.due(held, QUERY))!.deliveries, 'what waited need not wait any longer').toMatchObject([{ runId: run.runId, attempts: 2 }]);
    await under().webhooks.settle(held, failed(due!, { state: 'failed', statusCode: 410, disable: 'gone' }));
    expect(await under().webhooks.get(tenant, webhook.webhookId)).toMatchObject({ enabled: false, status: { disabledReason: 'gone' } });
  });
}

function tenantScope(under: () => Under): void {
  it('hides a webhook from every other tenant', verifies(['PRS-13-09', 'PRS-11.2-02'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const webhook = await subscribe(under(), owner);
    const absent = newId('whk');
    const { webhooks } = under();
    const attempts: readonly ((id: string) => Promise<unknown>)[] = [
      (id) => webhooks.get(stranger, id), (id) => webhooks.target(stranger, id), (id) => webhooks.delete(stranger, id),
      (id) => webhooks.replace(stranger, id, definition({ url: 'https://thief.example.com/' }), null), (id) => webhooks.listDeliveries(stranger, id, { limit: 10 }),
    ];
    for (const attempt of attempts) await expectSameRefusal(attempt(webhook.webhookId), webhook.webhookId, attempt(absent), absent);
    expect((await webhooks.list(stranger, { limit: 10 })).webhooks).toEqual([]);
    expect(await webhooks.get(owner, webhook.webhookId)).toEqual(webhook);
  }));

  it("never delivers another tenant's events, not even under a lease with its name on it", async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const mine = await subscribe(under(), owner);
    const run = await create(under(), stranger);
    expect(await delivered(under(), owner, mine)).toEqual([]);
    const theirs = await subscribe(under(), stranger);
    await under().runState.cancelRun(stranger, run.runId, canceled(run.runId));
    const held = await hold(under(), theirs);
    const forged = { ...held, tenantId: owner.tenant_id };
    expect(await under().webhooks.due(forged, QUERY)).toBeNull();
    expect(await under().webhooks.settle(forged, outcome({ runId: run.runId, sequence: 2 }))).toBe(false);
    expect((await delivered(under(), stranger, theirs))[0]).toMatchObject({ state: 'pending' });
  });
}
