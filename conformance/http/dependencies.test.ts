/** What a caller sees while something that the node stands on is gone (PRS 4.2, HLD 10.1). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded } from '../harness/client.ts';
import { addressOf, onServer } from '../harness/database-server.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const RUNS = '/v1/agents/agt_sample_echo_v1/runs';

describe('without Model Policy', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startNode({ services: ['agent-orchestrator'], env: { AGENTOS_MODEL_OUTAGE_GRACE_MS: '0' } });
  });
  afterAll(() => node?.close());

  it('the orchestrator is alive and not ready, and says why', verifies(['PRS-4.2-16', 'PRS-11.1-01'], async () => {
    const ao = node.urls['agent-orchestrator'];
    expect((await call(ao, '/healthz', { tenant: null })).status).toBe(200);
    const ready = await call(ao, '/readyz', { tenant: null });
    expect(ready.status).toBe(503);
    expect(ready.body.status).toBe('unavailable');
    const statusOf = (name: string): unknown => ready.body.checks.find((check: { name: string }) => check.name === name)?.status;
    expect([statusOf('postgres'), statusOf('model-policy')]).toEqual(['ok', 'unavailable']);
    expect(ready.body.checks.find((check: { name: string }) => check.name === 'model-policy').detail).toBe('unreachable');
    expect(ready.headers.get('retry-after')).not.toBeNull();
    expect(faultsOf(operation('agent-orchestrator', 'getReadiness'), 503, ready.body)).toEqual([]);
  }));

  it('a run is taken, fails with the reason, and frees its slot', verifies(['HLD-10.1-01', 'PRS-4.2-12'], async () => {
    const ao = node.urls['agent-orchestrator'];
    const made = await call(ao, RUNS, { body: { input: 'hello' } });
    expect(made.status).toBe(201);
    const ended = await untilEnded(ao, made.body.run.run_id as string, { timeoutMs: 30_000 });
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'dependency_unavailable', retryable: true } });
    expect(JSON.stringify(ended)).not.toMatch(/ECONN[A-Z]+ \d|127\.0\.0\.1:\d+|node_modules/);
  }), 40_000);
});

describe('when nothing answers that the node stands on', () => {
  it('each service names the dependency and the kind of failure, and no address and no driver', verifies(['PRS-4.2-16'], async () => {
    const node = await startNode();
    try {
      const { name } = node.database;
      await onServer(addressOf(node.database.url, 'postgres'), (client) => client.query(`ALTER DATABASE "${name}" WITH ALLOW_CONNECTIONS false`));
      await node.database.severConnections();
      const { hostname, port } = new URL(node.database.url);
      for (const [service, base] of Object.entries(node.urls)) {
        await expect.poll(async () => (await call(base, '/readyz', { tenant: null })).status, { timeout: 5_000, interval: 100 }).toBe(503);
        const { body } = await call(base, '/readyz', { tenant: null });
        const database = body.checks.find((check: { name: string }) => check.name === 'postgres');
        expect(database, service).toEqual({ name: 'postgres', status: 'unavailable', detail: expect.stringMatching(/^(unreachable|refused|failed|overloaded|timeout)$/) as string });
        const said = JSON.stringify([body, (await call(base, '/v1/health', { tenant: null })).body]);
        for (const secret of [hostname, port, name, 'ECONN', 'connections']) expect(said, `${service} tells ${secret}`).not.toContain(secret);
      }
      expect(node.logLines.some((line) => line.includes('A dependency is not ready.') && line.includes(name)), 'the log tells the cause').toBe(true);
    } finally {
      await node.close();
    }
  }), 40_000);
});

describe('when the database drops every connection', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startNode();
  });
  afterAll(() => node?.close());

  it('the node serves again within five seconds, and runs go on', verifies(['PRS-12.1-01'], async () => {
    const ao = node.urls['agent-orchestrator'];
    const before = await Promise.all(Array.from({ length: 10 }, () => call(ao, RUNS, { body: { input: 'hello' } })));
    expect(await node.database.severConnections()).toBeGreaterThan(0);
    const severedAt = performance.now();
    await expect.poll(async () => (await call(ao, RUNS, { body: { input: 'hello' } })).status, { timeout: 5_000, interval: 50 }).toBe(201);
    expect(performance.now() - severedAt).toBeLessThan(5_000);
    for (const answer of before) {
      expect(answer.status).toBe(201);
      expect((await untilEnded(ao, answer.body.run.run_id as string, { timeoutMs: 20_000 })).status).toBe('completed');
    }
    for (const base of Object.values(node.urls)) await expect.poll(async () => (await call(base, '/readyz', { tenant: null })).status, { timeout: 5_000 }).toBe(200);
  }), 180_000);
});
