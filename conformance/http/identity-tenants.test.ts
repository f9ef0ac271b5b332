/** Tokens and tenants: whose things a token reaches, and a service that acts for others (PRS 10.1, 15; C-57, C-62). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Answer, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { TokenIssuer } from '../harness/token-issuer.ts';
import { tenantObjects, type TenantObject } from '../vectors/jwt-tenants.ts';
import { verifies } from './verifies.ts';

const SCOPES = 'runs:create runs:read runs:cancel agents:read agents:write memory:read memory:write';

describe.each(['dev', 'prod'] as const)('in %s', (mode) => {
  let issuer: TokenIssuer;
  let node: TestNode;
  const ids: Record<TenantObject['kind'], string> = { run: '', agent: 'agt_suite', memory: 'secret-note' };
  const ao = (): string => node.urls['agent-orchestrator'];
  const tokenOf = (tenant_id: string, claims: Record<string, unknown> = {}): Promise<string> => issuer.token({ tenant_id, scope: SCOPES, ...claims });
  const as = (token: string, path: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> =>
    call(ao(), path, { tenant: null, ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } });

  beforeAll(async () => {
    issuer = await new TokenIssuer().start();
    node = await startNode({ mode, env: { AGENTOS_JWT_ISSUER: issuer.url, AGENTOS_IMPLICIT_AGENTS: 'off' } });
    await node.database.asSuperuser((client) => client.query("INSERT INTO directory.tenants (tenant_id, name, plan_tier, status) VALUES ('tnt_one', 'One', 'standard', 'active'), ('tnt_two', 'Two', 'standard', 'active'), ('tnt_idle', 'Idle', 'standard', 'suspended')"));
    await node.agent('tnt_one', { agentId: ids.agent });
    const owner = await tokenOf('tnt_one');
    const made = await as(owner, `/v1/agents/${ids.agent}/runs`, { body: { input: 'a secret of tnt_one', idempotency_key: 'idem_1' } });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    ids.run = made.body.run.run_id as string;
    await untilEnded(ao(), ids.run, { tenant: null, headers: { authorization: `Bearer ${owner}` } });
    expect((await as(owner, `/v1/memory/notes/items/${ids.memory}`, { method: 'PUT', body: { value: 'ultramarine' } })).status).toBeLessThan(300);
  });
  afterAll(async () => {
    await node?.close();
    await issuer?.close();
  });

  it.each(tenantObjects.map((each) => [each.name, each] as const))('%s of another tenant is answered as one that there is not', verifies(['PRS-13-09', 'PRS-3.1-05', 'SEC-01'], async (_name: string, { method, path, kind, body }: TenantObject) => {
    const ask = async (id: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> => as(await tokenOf('tnt_two'), path.replace('{id}', id), { method, ...(body === undefined ? {} : { body: JSON.parse(JSON.stringify(body).replaceAll('{id}', id)) as unknown }), ...options });
    const words = (answer: Answer, id: string): string => JSON.stringify([answer.status, { ...answer.body, correlation_id: '' }]).replaceAll(id, '<id>');
    const [foreign, absent] = [await ask(ids[kind]), await ask('absent-thing')];
    expect(foreign.status).toBe(404);
    expect(words(foreign, ids[kind])).toBe(words(absent, 'absent-thing'));
    const named = await ask(ids[kind], { headers: { 'x-tenant-id': 'tnt_one' } });
    expect([named.status, named.body.error.code], 'and naming it does not help').toEqual([400, 'tenant_mismatch']);
  }));

  it('and its owner still has all of it', async () => {
    const owner = await tokenOf('tnt_one');
    expect((await as(owner, `/v1/runs/${ids.run}`)).body.run.status).toBe('completed');
    expect((await as(owner, `/v1/agents/${ids.agent}`)).status).toBe(200);
    expect(JSON.stringify((await as(owner, `/v1/memory/notes/items/${ids.memory}`)).body)).toContain('ultramarine');
  });

  describe('a service that may act for others', () => {
    const service = (more: Record<string, unknown> = {}): Promise<string> => tokenOf('tnt_two', { sub: undefined, principal_id: 'svc_broker', principal_type: 'service', scope: `${SCOPES} tenants:act-as`, ...more });
    const forTenant = (tenant: string): { headers: Record<string, string> } => ({ headers: { 'x-tenant-id': tenant } });

    it('acts for the tenant that it names, and is named in what it does', verifies(['PRS-10.1-06', 'PRS-15.1-02'], async () => {
      const broker = await service();
      const made = await as(broker, `/v1/agents/${ids.agent}/runs`, { ...forTenant('tnt_one'), body: { input: 'on behalf', idempotency_key: 'idem_2' } });
      expect([made.status, made.body.tenant_id], JSON.stringify(made.body)).toEqual([201, 'tnt_one']);
      const runId = made.body.run.run_id as string;
      const run: Json = await untilEnded(ao(), runId, { tenant: null, headers: { authorization: `Bearer ${await tokenOf('tnt_one')}` } });
      expect(run.status, 'the calls behind it carry who acts').toBe('completed');
      expect((await as(broker, `/v1/runs/${runId}`)).status, 'in its own tenant there is no such run').toBe(404);
      const { body } = await as(await tokenOf('tnt_one', { scope: 'audit:read' }), `/v1/audit?action=run.create&resource_id=${runId}`);
      expect(body.records).toMatchObject([{ outcome: 'allowed', principal: { principal_id: 'svc_broker' }, details: { acting_tenant_id: 'tnt_two', acting_principal_id: 'svc_broker' } }]);
    }));

    it('acts for none that is suspended or not there, nor while its own is', async () => {
      const asks: ReadonlyArray<readonly [string, string, number, string]> = [
        [await service(), 'tnt_idle', 403, 'forbidden'],
        [await service(), 'tnt_absent', 403, 'tenant_unknown'],
        [await service({ tenant_id: 'tnt_idle' }), 'tnt_one', 403, 'forbidden'],
        [await service({ tenant_id: 'tnt_absent' }), 'tnt_one', 403, 'tenant_unknown'],
        [await service({ scope: SCOPES }), 'tnt_one', 400, 'tenant_mismatch'],
        [await service({ principal_type: 'user' }), 'tnt_one', 400, 'tenant_mismatch'],
      ];
      for (const [token, tenant, status, code] of asks) {
        const answer = await as(token, '/v1/runs', forTenant(tenant));
        expect([answer.status, answer.body.error?.code], `for ${tenant}`).toEqual([status, code]);
      }
    });
  });
});
