/** What production refuses (PRS 8.1, 10; C-48, C-80). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../services/platform/auth/api-key.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { SEED_AUTH } from '../../services/agent-orchestrator/seed.ts';
import { call, untilEnded, type Answer } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let secret: string;
beforeAll(async () => {
  node = await startNode({ mode: 'prod' });
  const key = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_suite', principalType: 'service', scopes: ['runs:create', 'runs:read', 'agents:read'], roles: [], expiresAt: null });
  secret = key.secret;
  const database = await createDatabase({ url: node.database.url, applicationName: 'suite', max: 1 });
  await new PostgresDirectory(database.pool).putApiKey(SEED_AUTH, key.record);
  await database.close();
});
afterAll(() => node?.close());

const ask = (path: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> =>
  call(node.urls['agent-orchestrator'], path, { tenant: null, ...options, headers: { 'x-api-key': secret, ...options.headers } });

describe('prod', () => {
  const unsafe: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ['a default tenant', { AGENTOS_DEFAULT_TENANT: 'tnt_demo' }],
    ['identity by headers', { AGENTOS_ALLOW_DEV_HEADERS: 'on' }],
    ['implicit agents', { AGENTOS_IMPLICIT_AGENTS: 'on' }],
    ['open metrics', { AGENTOS_METRICS_REQUIRE_AUTH: 'off' }],
    ['a short signing key', { AGENTOS_SIGNING_KEY: 'short' }],
  ];
  it.each(unsafe)('does not start with %s', verifies(['PRS-10-06', 'PRS-8.1-08'], async (_name: string, env: Record<string, string>) => {
    await expect(startNode({ mode: 'prod', env, database: node.database })).rejects.toThrow(new RegExp(Object.keys(env)[0]!));
  }));

  it('knows nobody by headers', verifies(['SEC-01', 'PRS-10.1-06'], async () => {
    const answer = await call(node.urls['agent-orchestrator'], '/v1/runs', { headers: { 'x-scopes': 'runs:read' } });
    expect([answer.status, answer.body.error.code]).toEqual([401, 'unauthorized']);
  }));

  it('runs registered agents only, under a key', verifies(['PRS-4.3-04'], async () => {
    const unknown = await ask('/v1/agents/my-agent/runs', { body: { input: 'hello', idempotency_key: 'idem_1' } });
    expect([unknown.status, unknown.body.error.code]).toEqual([404, 'not_found']);
    const keyless = await ask('/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
    expect([keyless.status, keyless.body.error.code]).toEqual([400, 'invalid_request']);
    const made = await ask('/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello', idempotency_key: 'idem_2' } });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect((await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string, { tenant: null, headers: { 'x-api-key': secret } })).status).toBe('completed');
  }));

  it('shows metrics to nobody without a credential', verifies(['PRS-10-07'], async () => {
    for (const base of Object.values(node.urls)) expect((await call(base, '/metrics', { tenant: null })).status).toBe(401);
  }));
});
