/**
 * Webhooks for run events as a stranger sees them: subscribed over HTTP, received by a real endpoint. Retries,
 * schedules and bounds are proven closer to the code (services/agent-orchestrator/webhooks).
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { validators } from '../../generated/validators/schemas.js';
import { verifyWebhook } from '../../services/platform/webhooks/standard-webhooks.ts';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { startReceiver, type ReceivedWebhook, type WebhookReceiver } from '../harness/webhook-receiver.ts';
import { verifies } from './verifies.ts';

const AGENT = '/v1/agents/agt_sample_echo_v1/runs';
let receiver: WebhookReceiver;
const ofRun = (runId: string): ReceivedWebhook[] => receiver.received.filter(({ body }) => body.runid === runId);
const ended = (items: readonly ReceivedWebhook[]): boolean => items.some(({ body, status }) => /^agentos\.run\.(completed|failed|canceled)$/.test(body.type as string) && status === 204);

describe('a node with webhooks', () => {
  let node: TestNode;
  let tenant: string;
  const ao = (): string => node.urls['agent-orchestrator'];
  const at = (path: string, options: Parameters<typeof call>[2] = {}) => call(ao(), path, { tenant, ...options });
  const subscribe = async (body: Json = {}, headers: Record<string, string> = {}): Promise<Json> => {
    const answer = await at('/v1/webhooks', { headers, body: { url: receiver.url, event_types: ['*'], ...body } });
    expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
    return answer.body.webhook;
  };
  const run = async (input = 'hello', agent = 'agt_hooked'): Promise<string> => {
    const made = (await at(`/v1/agents/${agent}/runs`, { body: { input } })).body.run;
    await untilEnded(ao(), made.run_id as string, { tenant });
    return made.run_id as string;
  };

  beforeAll(async () => {
    receiver = await startReceiver();
    node = await startNode({ env: { AGENTOS_EGRESS_ALLOW: `${receiver.allow},127.0.0.1:9`, AGENTOS_WEBHOOK_RETRY_MS: '50', AGENTOS_CONTRACT_CHECK: 'on' } });
  });
  beforeEach(async () => {
    tenant = await node.tenant();
    for (const agentId of ['agt_hooked', 'agt_other']) await node.agent(tenant, { agentId, tools: ['tool.echo'] });
    receiver.answer(() => ({ status: 204 }));
  });
  afterAll(async () => {
    await node?.close();
    await receiver?.close();
  });

  it('delivers what the event stream shows, signed, in order, once', verifies(['PRS-5.2-09'], async () => {
    const webhook = await subscribe();
    expect(webhook).toMatchObject({ webhook_id: expect.stringMatching(/^whk_/) as string, secret: expect.stringMatching(/^whsec_/) as string, enabled: true, agent_ids: null });
    const runId = await run('Use tool.echo with text "hi".');
    await receiver.until(() => ended(ofRun(runId)));
    const stream = (await readEvents(ao(), `/v1/runs/${runId}/events`, { tenant })).frames.map(({ data }) => data.event);
    const came = ofRun(runId);
    expect(came.map(({ body }) => [body.id, body.type, body.sequence, body.time, body.data])).toEqual(stream.map((event: Json) => [event.event_id, event.type, String(event.sequence), event.time, event.payload]));
    for (const { headers, raw, body } of came) {
      expect(verifyWebhook({ headers, body: raw, secrets: [webhook.secret as string] }).id).toBe(body.id);
      expect(validators.CloudEvent(body), JSON.stringify(validators.CloudEvent.errors)).toBe(true);
      expect(body).toMatchObject({ source: `/v1/runs/${runId}`, tenantid: tenant, agentid: 'agt_hooked' });
    }
    const { deliveries } = (await at(`/v1/webhooks/${webhook.webhook_id}/deliveries`)).body;
    expect(deliveries.map((delivery: Json) => [delivery.sequence, delivery.state, delivery.attempts, delivery.last_status_code])).toEqual(came.map((_, index) => [came.length - index, 'delivered', 1, 204]));
    expect((await at(`/v1/webhooks/${webhook.webhook_id}`)).body.webhook.status).toMatchObject({ last_success_at: expect.any(String) as string, consecutive_failures: 0 });
  }), 60_000);

  it('delivers the types and agents that were asked for', async () => {
    await subscribe({ event_types: ['agentos.run.completed'], agent_ids: ['agt_hooked'] });
    const [mine, other] = [await run(), await run('hello', 'agt_other')];
    await receiver.until(() => ended(ofRun(mine)));
    expect(ofRun(mine).map(({ body }) => body.type)).toEqual(['agentos.run.completed']);
    expect(ofRun(other)).toEqual([]);
  });

  it('tries again under the same id, and shows what went wrong meanwhile', async () => {
    const webhook = await subscribe({ event_types: ['agentos.run.completed'] });
    let left = 2;
    receiver.answer(() => ({ status: left-- > 0 ? 500 : 204 }));
    const runId = await run();
    await receiver.until(() => ended(ofRun(runId)));
    expect(ofRun(runId).map(({ status }) => status)).toEqual([500, 500, 204]);
    expect(new Set(ofRun(runId).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    const [delivery] = (await at(`/v1/webhooks/${webhook.webhook_id}/deliveries?state=delivered`)).body.deliveries;
    expect(delivery).toMatchObject({ attempts: 3, state: 'delivered', next_attempt_at: null });
  });

  it('signs with both secrets after one was replaced, and shows a secret only to who set it', async () => {
    const first = await subscribe();
    const path = `/v1/webhooks/${first.webhook_id}`;
    const secret = 'whsec_bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldyBzZWNyZXQ=';
    const replaced = await at(path, { method: 'PUT', body: { url: receiver.url, event_types: ['agentos.run.completed'], secret } });
    expect(replaced.body.webhook.secret).toBe(secret);
    expect(JSON.stringify([(await at(path)).body, (await at('/v1/webhooks')).body])).not.toContain('whsec_');
    expect((await at(path, { method: 'PUT', body: { url: receiver.url, event_types: ['agentos.run.completed'] } })).body.webhook).not.toHaveProperty('secret');
    const runId = await run();
    await receiver.until(() => ended(ofRun(runId)));
    const [{ headers, raw }] = ofRun(runId) as [ReceivedWebhook];
    for (const known of [secret, first.secret as string]) expect(verifyWebhook({ headers, body: raw, secrets: [known] }).id).toBe(headers['webhook-id']);
    const stored = await node.database.asSuperuser((client) => client.query('SELECT * FROM orchestrator.webhooks WHERE tenant_id = $1', [tenant]));
    expect(JSON.stringify(stored.rows), 'secrets are sealed where they lie').not.toContain(secret.slice(6, 20));
  });

  it('makes one webhook for one idempotency key', verifies(['PRS-4.3-05'], async () => {
    const key = { 'idempotency-key': 'hook-1' };
    const first = await at('/v1/webhooks', { headers: key, body: { url: receiver.url, event_types: ['*'] } });
    const again = await at('/v1/webhooks', { headers: key, body: { url: receiver.url, event_types: ['*'] } });
    expect([first.status, again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 200, 'true']);
    expect(again.body.webhook.webhook_id).toBe(first.body.webhook.webhook_id);
    expect(again.body.webhook).not.toHaveProperty('secret');
    const other = await at('/v1/webhooks', { headers: key, body: { url: receiver.url, event_types: ['agentos.run.*'] } });
    expect([other.status, other.body.error.details.reason]).toEqual([409, 'idempotency_key_reused']);
  }));

  it('sends a test on demand, and says what came of it', async () => {
    const webhook = await subscribe();
    const test = await at(`/v1/webhooks/${webhook.webhook_id}:test`, { method: 'POST' });
    expect([test.status, test.body]).toEqual([200, expect.objectContaining({ delivered: true, status_code: 204, error: null })]);
    const sent = receiver.received.at(-1)!;
    expect(sent.body).toMatchObject({ type: 'agentos.webhook.test', subject: webhook.webhook_id, source: `/v1/webhooks/${webhook.webhook_id}` });
    expect(validators.CloudEvent(sent.body), JSON.stringify(validators.CloudEvent.errors)).toBe(true);
    expect(verifyWebhook({ headers: sent.headers, body: sent.raw, secrets: [webhook.secret as string] }).id).toBe(sent.body.id);
    receiver.answer(() => ({ status: 500 }));
    expect((await at(`/v1/webhooks/${webhook.webhook_id}/test`, { method: 'POST' })).body).toMatchObject({ delivered: false, status_code: 500, error: expect.stringContaining('500') as string });
    await at(`/v1/webhooks/${webhook.webhook_id}`, { method: 'PUT', body: { url: 'http://127.0.0.1:9/', event_types: ['*'] } });
    expect((await at(`/v1/webhooks/${webhook.webhook_id}:test`, { method: 'POST' })).body).toMatchObject({ delivered: false, status_code: null, error: expect.stringContaining('cannot be reached') as string });
    expect((await at(`/v1/webhooks/${webhook.webhook_id}`)).body.webhook.status.consecutive_failures).toBe(0);
  });

  it('refuses endpoints outside the egress rules, and what is no webhook', async () => {
    for (const url of ['http://169.254.169.254/latest', 'http://127.0.0.1:22/', 'http://user:word@example.com/', 'http://[::1]/']) {
      const answer = await at('/v1/webhooks', { body: { url, event_types: ['*'] } });
      expect([answer.status, answer.body.error.details.reason], url).toEqual([403, 'egress_refused']);
    }
    for (const body of [{}, { url: 'ftp://x.example', event_types: ['*'] }, { url: receiver.url, event_types: [] }, { url: receiver.url, event_types: ['a*'] }, { url: receiver.url, event_types: ['*'], secret: 'plain' }]) {
      expect((await at('/v1/webhooks', { body })).status, JSON.stringify(body)).toBe(400);
    }
    const webhook = await subscribe();
    expect((await at(`/v1/webhooks/${webhook.webhook_id}/deliveries?after=nonsense`)).status).toBe(400);
    expect((await at(`/v1/webhooks/${webhook.webhook_id}/deliveries?state=lost`)).status).toBe(400);
  });

  it('asks for the scopes', verifies(['PRS-3.1-04'], async () => {
    const webhook = await subscribe();
    for (const [method, path, scopes] of [['GET', '', 'webhooks:write'], ['POST', '', 'webhooks:read'], ['DELETE', `/${webhook.webhook_id}`, 'webhooks:read'], ['GET', `/${webhook.webhook_id}/deliveries`, 'runs:read']] as const) {
      const answer = await at(`/v1/webhooks${path}`, { method, headers: { 'x-scopes': scopes }, ...(method === 'POST' ? { body: { url: receiver.url, event_types: ['*'] } } : {}) });
      expect(answer.status, `${method} ${path}`).toBe(403);
    }
  }));

  it("keeps tenants apart: another's webhook is not there and gets nothing", verifies(['PRS-13-09', 'PRS-3.1-05'], async () => {
    const webhook = await subscribe();
    const stranger = await node.tenant();
    await node.agent(stranger, { agentId: 'agt_hooked', tools: [] });
    const words = (body: Json, id: string): string => JSON.stringify({ ...body, correlation_id: '' }).replaceAll(id, '<id>');
    for (const [method, suffix] of [['GET', ''], ['PUT', ''], ['DELETE', ''], ['POST', ':test'], ['GET', '/deliveries']] as const) {
      const ask = (id: string) => call(ao(), `/v1/webhooks/${id}${suffix}`, { tenant: stranger, method, ...(method === 'PUT' ? { body: { url: receiver.url, event_types: ['*'] } } : {}) });
      const [foreign, absent] = [await ask(webhook.webhook_id as string), await ask('whk_absent')];
      expect([foreign.status, absent.status], `${method} ${suffix}`).toEqual([404, 404]);
      expect(words(foreign.body, webhook.webhook_id as string)).toBe(words(absent.body, 'whk_absent'));
    }
    expect((await call(ao(), '/v1/webhooks', { tenant: stranger })).body.webhooks).toEqual([]);
    const theirs = (await call(ao(), '/v1/agents/agt_hooked/runs', { tenant: stranger, body: { input: 'x' } })).body.run.run_id as string;
    await untilEnded(ao(), theirs, { tenant: stranger });
    const mine = await run();
    await receiver.until(() => ended(ofRun(mine)));
    expect(ofRun(theirs)).toEqual([]);
  }));

  it('forgets a deleted webhook with its deliveries', async () => {
    const webhook = await subscribe();
    expect((await at(`/v1/webhooks/${webhook.webhook_id}`, { method: 'DELETE' })).status).toBe(204);
    const runId = await run();
    expect((await at(`/v1/webhooks/${webhook.webhook_id}/deliveries`)).status).toBe(404);
    const { rows } = await node.database.asSuperuser((client) => client.query('SELECT 1 FROM orchestrator.webhook_deliveries WHERE tenant_id = $1', [tenant]));
    expect(rows).toEqual([]);
    expect(ofRun(runId)).toEqual([]);
  });
});

describe('a worker that is killed while it delivers', () => {
  let node: ProcessNode;
  const ao = (): string => node.urls['agent-orchestrator'];

  beforeAll(async () => {
    receiver = await startReceiver();
    node = await planProcesses({ AGENTOS_LEASE_MS: '1000', AGENTOS_WEBHOOK_RETRY_MS: '50', AGENTOS_EGRESS_ALLOW: receiver.allow });
    await node.start('model-policy');
    await node.start('agent-orchestrator');
  }, 120_000);
  afterAll(async () => {
    await node?.stop();
    await receiver?.close();
  }, 180_000);
  afterEach(() => receiver.answer(() => ({ status: 204 })));

  it('is followed by one that sends again what was not settled, and everything after it, in order', verifies(['PRS-1-02'], async () => {
    const webhook = (await call(ao(), '/v1/webhooks', { body: { url: receiver.url, event_types: ['*'] } })).body.webhook;
    // Of each run the third delivery hangs until the kill: it was received and never answered.
    const hung = new Set<string>();
    receiver.answer(({ body }) => (body.sequence === '3' && !hung.has(body.id as string) ? hung.add(body.id as string) && new Promise<never>(() => {}) : { status: 204 }));
    const runs: string[] = [];
    for (let i = 0; i < 5; i += 1) runs.push((await call(ao(), AGENT, { body: { input: `run ${i}` } })).body.run.run_id as string);
    await receiver.until(() => hung.size >= 3, 20_000);
    await node.kill('agent-orchestrator', 'SIGKILL');
    await node.start('agent-orchestrator');
    await receiver.until(() => runs.every((runId) => ended(ofRun(runId))), 30_000);
    for (const runId of runs) {
      const events = (await readEvents(ao(), `/v1/runs/${runId}/events`)).frames.map(({ data }) => data.event.event_id as string);
      const came = ofRun(runId).map(({ headers }) => headers['webhook-id'] as string);
      expect([...new Set(came)], 'every event, first seen in the order of the run').toEqual(events);
    }
    const again = [...hung].filter((id) => receiver.received.filter(({ body }) => body.id === id).length > 1);
    expect(again.length, 'what hung came again under its id').toBe(hung.size);
    const { deliveries } = (await call(ao(), `/v1/webhooks/${webhook.webhook_id}/deliveries?limit=200`)).body;
    expect(deliveries.filter((delivery: Json) => delivery.state !== 'delivered')).toEqual([]);
  }), 120_000);
});
