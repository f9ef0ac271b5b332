/** A deleted tenant is gone: every row of it, in every service's tables, and nothing of anybody else (PRS 12.2, 13.9). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { call, untilEnded, type Answer, type Call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
const AO = 'agent-orchestrator';
beforeAll(async () => {
  node = await startNode({ env: { AGENTOS_TENANT_DELETION_GRACE_HOURS: '0' } });
});
afterAll(() => node?.close());

const admin = (path: string, options: Call = {}): Promise<Answer> =>
  call(node.urls[AO], path, { ...options, headers: { 'x-scopes': 'tenants:admin', ...options.headers } });

async function expectServed(answer: Promise<Answer>): Promise<Answer> {
  const served = await answer;
  expect(served.status, JSON.stringify(served.body)).toBeLessThan(300);
  return served;
}

/** Something in as many corners as there are. */
async function live(tenant: string): Promise<void> {
  const at = (service: 'agent-orchestrator' | 'model-policy', path: string, options: Call = {}): Promise<Answer> => expectServed(call(node.urls[service], path, { tenant, ...options }));
  await at(AO, '/v1/agents', { body: { agent_id: 'agt_own', name: 'Own', model_ref: 'tier:balanced', instructions: 'Call the tool echo (tool.echo) once.', tools: ['tool.echo'], tool_choice: 'tool.echo' } });
  await at(AO, '/v1/webhooks', { body: { url: 'https://hooks.example.com/', event_types: ['*'] } });
  const { body } = await at(AO, '/v1/agents/agt_own/runs', { body: { input: 'hello', idempotency_key: 'one', labels: { team: 'blue' } } });
  await untilEnded(node.urls[AO], body.run.run_id as string, { tenant });
  await at(AO, '/v1/memory/notes/items/one', { method: 'PUT', body: { value: { text: 'the quick brown fox' }, text: 'the quick brown fox', embed: true } });
  await at(AO, '/v1/tools', { body: { tool_id: 'tool.own', name: 'Own', description: 'Ours.', input_schema: { type: 'object' }, webhook: { url: 'https://tools.example.com/' } } });
  await at('model-policy', '/v1/policies/pol_own', { method: 'PUT', body: { description: 'Own', rules: [{ id: 'words', kind: 'terms', terms: ['forbidden'], action: 'block' }] } });
  await at('model-policy', '/v1/chat/completions', { body: { model: 'tier:balanced', messages: [{ role: 'user', content: 'hello' }] } });
  await expectServed(call(node.urls[AO], '/v1/principals/usr_own', { tenant, method: 'PUT', body: { principal_type: 'user', roles: ['tenant_user'] } }));
  await expectServed(call(node.urls[AO], '/v1/keys', { tenant, body: { principal_id: 'usr_own' } }));
}

/** Tables with rows of the tenant, asked past row-level security; the audit apart. */
function rowsOf(tenant: string): Promise<Readonly<Record<string, number>>> {
  return node.database.asSuperuser(async (client: pg.Client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', c.table_schema, c.table_name) AS name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
       WHERE c.column_name = 'tenant_id' AND t.table_type = 'BASE TABLE' AND c.table_schema <> 'audit' ORDER BY 1`,
    );
    const found: Record<string, number> = {};
    for (const { name } of rows) {
      const counted = await client.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${name} WHERE tenant_id = $1`, [tenant]);
      if (counted.rows[0]!.n > 0) found[name] = counted.rows[0]!.n;
    }
    return found;
  });
}

describe('a tenant whose grace period is over', () => {
  it('has no row left anywhere but in the audit; its neighbour has all of its own', verifies(['PRS-12.2-03', 'PRS-15.2-01'], async () => {
    const [goes, stays] = [await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 1_000_000 } } } }), await node.tenant()];
    await live(goes);
    await live(stays);
    // What is settled behind a call, as ledgers are, must not be mistaken for what a purge has left.
    await expect.poll(async () => Object.keys(await rowsOf(goes)), { timeout: 10_000 }).toEqual(expect.arrayContaining(['model_policy.usage_entries', 'model_policy.decisions']));
    const before = { goes: await rowsOf(goes), stays: await rowsOf(stays) };
    expect(Object.keys(before.goes), 'the test has teeth').toEqual(expect.arrayContaining([
      'directory.api_keys', 'directory.principals', 'directory.tenants', 'model_policy.policy_rules', 'orchestrator.agents', 'orchestrator.agent_versions', 'orchestrator.idempotency_keys', 'orchestrator.memory_items', 'orchestrator.memory_usage',
      'orchestrator.memory_vectors', 'orchestrator.memory_words', 'orchestrator.run_events', 'orchestrator.runs', 'orchestrator.tenant_runs', 'orchestrator.tools', 'orchestrator.webhook_deliveries', 'orchestrator.webhooks',
    ]));
    const deleted = await admin(`/v1/admin/tenants/${goes}?confirm=${goes}`, { method: 'DELETE', headers: { 'x-principal-id': 'usr_operator' } });
    expect(deleted.status, JSON.stringify(deleted.body)).toBe(200);
    await expect.poll(async () => (await admin(`/v1/admin/tenants/${goes}`)).status, { timeout: 20_000, interval: 100 }).toBe(404);
    expect(await rowsOf(goes)).toEqual({});
    expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line)), 'and no process stumbles over it').toEqual([]);
    const { 'orchestrator.webhook_deliveries': _deliveries, ...kept } = before.stays;
    expect(await rowsOf(stays)).toMatchObject(kept);
    expect((await call(node.urls[AO], '/v1/runs', { tenant: goes })).body.error.code).toBe('tenant_unknown');
    const reused = await admin('/v1/admin/tenants', { body: { tenant_id: goes } });
    expect([reused.status, reused.body.error.details.reason], 'whose audit records are whose stays clear').toEqual([409, 'id_was_used']);
    const trail = await node.database.asSuperuser((client) => client.query<{ entry: { action: string; principal: { principal_id: string }; details?: Record<string, unknown> } }>("SELECT entry FROM audit.records WHERE tenant_id = $1 AND entry ->> 'action' LIKE 'tenant.%' ORDER BY service, sequence", [goes]));
    expect(trail.rows.map(({ entry }) => [entry.action, entry.principal.principal_id])).toEqual([['tenant.create', expect.any(String)], ['tenant.delete', 'usr_operator'], ['tenant.purge', 'agentos-purger']]);
    expect(trail.rows.at(-1)!.entry.details).toMatchObject({ requested_by: 'usr_operator', rows_deleted: { 'orchestrator.runs': 1, 'orchestrator.memory_items': 1 } });
  }), 180_000);

  it('in the middle of its work is gone too; workers and engines let go of what is not there any more', verifies(['PRS-12.2-03'], async () => {
    const [goes, stays] = [await node.tenant(), await node.tenant()];
    const begin = (tenant: string): Promise<Answer[]> => Promise.all(Array.from({ length: 40 }, () => expectServed(call(node.urls[AO], '/v1/agents/agt_absent/runs', { tenant, body: { input: 'hello' } }))));
    const [, others] = await Promise.all([begin(goes), begin(stays)]);
    expect((await rowsOf(goes))['orchestrator.runs']).toBe(40);
    await expectServed(admin(`/v1/admin/tenants/${goes}?confirm=${goes}`, { method: 'DELETE' }));
    await expect.poll(async () => (await admin(`/v1/admin/tenants/${goes}`)).status, { timeout: 20_000, interval: 50 }).toBe(404);
    for (const { body } of others) expect((await untilEnded(node.urls[AO], body.run.run_id as string, { tenant: stays })).status).toBe('completed');
    // Ledgers may be settled behind the purge; the sweep that follows it takes those.
    expect(Object.keys(await rowsOf(goes)).filter((table) => !table.startsWith('model_policy.'))).toEqual([]);
    expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line))).toEqual([]);
  }), 180_000);
});
