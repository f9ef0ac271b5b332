/** Idempotency and quotas of run creation over HTTP (PRS 4.3, 15.3, HLD 10.3; C-18, C-19, C-22, C-23). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Answer } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const RUNS = '/v1/agents/agt_sample_echo_v1/runs';
let node: TestNode;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

const create = (tenant: string, body: unknown, headers: Record<string, string> = {}, path = RUNS): Promise<Answer> => call(ao(), path, { tenant, body, headers });

describe('an idempotency key', () => {
  it('makes a repeated request the same run', verifies(['PRS-4.3-04', 'PRS-4.3-07'], async () => {
    const tenant = await node.tenant();
    const body = { input: 'hello', idempotency_key: 'idem_1' };
    const first = await create(tenant, body);
    const again = await create(tenant, body);
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body.run.run_id).toBe(first.body.run.run_id);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(first.headers.get('idempotency-replayed')).not.toBe('true');
    expect(faultsOf(operation('agent-orchestrator', 'createRun'), 200, again.body)).toEqual([]);
    expect((await call(ao(), '/v1/runs?limit=10', { tenant })).body.runs).toHaveLength(1);
  }));

  it('may stand in the header, and the body wins', verifies(['PRS-4.3-05'], async () => {
    const tenant = await node.tenant();
    const first = await create(tenant, { input: 'hello' }, { 'idempotency-key': 'idem_h' });
    const again = await create(tenant, { input: 'hello' }, { 'idempotency-key': 'idem_h' });
    expect([first.status, again.status]).toEqual([201, 200]);
    const other = await create(tenant, { input: 'hello', idempotency_key: 'idem_b' }, { 'idempotency-key': 'idem_h' });
    expect(other.status).toBe(201);
    expect(other.body.run.run_id).not.toBe(first.body.run.run_id);
  }));

  it('means the same request however its members are ordered', async () => {
    const tenant = await node.tenant();
    const first = await create(tenant, { input: 'hello', context: { locale: 'en', channel: 'web' }, idempotency_key: 'idem_o' });
    const again = await create(tenant, { idempotency_key: 'idem_o', context: { channel: 'web', locale: 'en' }, input: 'hello' });
    expect([first.status, again.status]).toEqual([201, 200]);
  });

  it('with another body is a conflict', async () => {
    const tenant = await node.tenant();
    const first = await create(tenant, { input: 'hello', idempotency_key: 'idem_2' });
    const other = await create(tenant, { input: 'goodbye', idempotency_key: 'idem_2' });
    expect(other.status).toBe(409);
    expect(other.body.error).toMatchObject({ code: 'conflict', retryable: false, details: { reason: 'idempotency_key_reused' } });
    expect(JSON.stringify(other.body)).not.toContain('hello');
    expect(first.status).toBe(201);
  });

  it('is scoped to tenant, principal and agent', verifies(['PRS-4.3-06'], async () => {
    const [tenant, elsewhere] = [await node.tenant(), await node.tenant()];
    const body = { input: 'hello', idempotency_key: 'idem_3' };
    const answers = [
      await create(tenant, body),
      await create(elsewhere, body),
      await create(tenant, body, { 'x-principal-id': 'usr_other' }),
      await create(tenant, body, {}, '/v1/agents/agt_demo/runs'),
    ];
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201]);
    expect(new Set(answers.map((answer) => answer.body.run.run_id as string)).size).toBe(4);
  }));

  it('is forgotten when its time is over and its run has ended', verifies(['PRS-4.3-08'], async () => {
    const tenant = await node.tenant();
    const body = { input: 'hello', idempotency_key: 'idem_ttl' };
    const first = await create(tenant, body);
    await untilEnded(ao(), first.body.run.run_id as string, { tenant });
    const kept = await node.database.asSuperuser((client) => client.query<{ hours: number }>('SELECT extract(epoch FROM expires_at - created_at)::float8 / 3600 AS hours FROM orchestrator.idempotency_keys WHERE tenant_id = $1', [tenant]));
    expect(kept.rows).toEqual([{ hours: 24 }]);
    await node.database.asSuperuser((client) => client.query("UPDATE orchestrator.idempotency_keys SET expires_at = now() - interval '1 second' WHERE tenant_id = $1", [tenant]));
    const later = await create(tenant, body);
    expect(later.status).toBe(201);
    expect(later.body.run.run_id).not.toBe(first.body.run.run_id);
  }));

  it('makes one run of a hundred equal requests at once', verifies(['PRS-4.3-04'], async () => {
    const tenant = await node.tenant();
    const answers = await Promise.all(Array.from({ length: 100 }, () => create(tenant, { input: 'race', idempotency_key: 'idem_race' })));
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(99);
    expect(new Set(answers.map((answer) => answer.body.run.run_id as string)).size).toBe(1);
  }));
});

describe('quotas', () => {
  it('refuse more creations than the rate allows and say when to come back', verifies(['PRS-15.3-02', 'PRS-13-10', 'HLD-10.2-01', 'PRS-15.3-03'], async () => {
    const tenant = await node.tenant({ quotas: { runs: { run_create_qps: 2, run_create_burst: 3, max_concurrent_runs: 1000 } } });
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 15 }, () => create(tenant, { input: 'hello' })));
    const seconds = (performance.now() - startedAt) / 1000;
    const granted = answers.filter((answer) => answer.status === 201).length;
    expect(granted).toBeGreaterThanOrEqual(3);
    expect(granted).toBeLessThanOrEqual(3 + 2 * seconds + 1);
    const refused = answers.find((answer) => answer.status === 429)!;
    expect(refused.body.error).toMatchObject({ code: 'rate_limited', retryable: true });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(faultsOf(operation('agent-orchestrator', 'createRun'), 429, refused.body)).toEqual([]);
  }));

  it('hold runs at once to the limit, and free the slot when a run ends', verifies(['PRS-15.3-01', 'PRS-13-10'], async () => {
    const tenant = await node.tenant({ quotas: { runs: { max_concurrent_runs: 0 } } });
    const refused = await create(tenant, { input: 'hello' });
    expect(refused.status).toBe(429);
    expect(refused.body.error).toMatchObject({ code: 'quota_exceeded', retryable: true, details: { limit: 0, used: 0, tenant_id: tenant } });
    expect(refused.headers.get('retry-after')).not.toBeNull();
    const roomy = await node.tenant({ quotas: { runs: { max_concurrent_runs: 1, run_create_qps: 1000, run_create_burst: 1000 } } });
    for (let i = 0; i < 3; i += 1) {
      const made = await create(roomy, { input: 'hello' });
      expect(made.status, JSON.stringify(made.body)).toBe(201);
      await untilEnded(ao(), made.body.run.run_id as string, { tenant: roomy });
    }
  }));

  it('act at once when they are raised, whatever the slower rate has used up', async () => {
    const tenant = await node.tenant({ quotas: { runs: { run_create_qps: 0.001, run_create_burst: 1 } } });
    expect((await create(tenant, { input: 'hello' })).status).toBe(201);
    const refused = await create(tenant, { input: 'hello' });
    expect([refused.status, Number(refused.headers.get('retry-after')) > 900]).toEqual([429, true]);
    const raised = await call(ao(), `/v1/admin/tenants/${tenant}`, { method: 'PATCH', tenant, headers: { 'x-scopes': 'tenants:admin' }, body: { quotas: { runs: { run_create_qps: 5, run_create_burst: 2 } } } });
    expect(raised.status, JSON.stringify(raised.body)).toBe(200);
    // Tenants are remembered for less than a second.
    await expect.poll(async () => (await create(tenant, { input: 'hello' })).status, { timeout: 3_000, interval: 100 }).toBe(201);
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(tenant, { input: 'hello' })));
    expect(answers.filter((answer) => answer.status === 429).length, 'and the new rate is kept').toBeGreaterThan(0);
  });

  it('do not touch a replay', verifies(['PRS-4.3-07'], async () => {
    const tenant = await node.tenant({ quotas: { runs: { run_create_qps: 0.01, run_create_burst: 1 } } });
    const body = { input: 'hello', idempotency_key: 'idem_q' };
    expect((await create(tenant, body)).status).toBe(201);
    expect((await create(tenant, { input: 'other' })).status).toBe(429);
    for (let i = 0; i < 10; i += 1) expect((await create(tenant, body)).status).toBe(200);
  }));

  it('of one tenant are not another\'s', async () => {
    const [busy, idle] = [await node.tenant({ quotas: { runs: { run_create_qps: 0.01, run_create_burst: 1 } } }), await node.tenant()];
    await create(busy, { input: 'hello' });
    expect((await create(busy, { input: 'hello' })).status).toBe(429);
    expect((await create(idle, { input: 'hello' })).status).toBe(201);
  });
});
