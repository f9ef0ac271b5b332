/** The audit trail over HTTP: what leaves a record, who may read it, and that a stranger can verify it (PRS 10.3, 4.3). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseExportLine } from '../../services/platform/audit/audit-record.ts';
import { verifyChain } from '../../services/platform/audit/verify.ts';
import { call, untilEnded, type Answer, type Call, type Json } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
const ALL = 'runs:create runs:read runs:cancel agents:read agents:write tools:invoke tools:write webhooks:read webhooks:write audit:read';
let node: TestNode;
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

const ask = (tenant: string, path: string, options: Call & { readonly scopes?: string } = {}): Promise<Answer> =>
  call(node.urls[AO], path, { ...options, tenant, headers: { 'x-scopes': options.scopes ?? ALL, 'x-principal-id': 'usr_ada', ...options.headers } });

/** The whole trail, oldest first. */
async function trail(tenant: string, query = ''): Promise<Json[]> {
  const records: Json[] = [];
  for (let after = ''; ; ) {
    const page = await ask(tenant, `/v1/audit?limit=50${query}${after}`);
    expect(page.status, JSON.stringify(page.body)).toBe(200);
    expect(faultsOf(operation(AO, 'listAudit'), 200, page.body)).toEqual([]);
    records.push(...page.body.records);
    if (page.body.has_more !== true) return records.reverse();
    after = `&after=${page.body.next}`;
  }
}

/** Refusals are written soon, and not at once. */
async function trailWith(tenant: string, action: string): Promise<Json[]> {
  await expect.poll(() => trail(tenant, `&action=${action}`), { timeout: 5_000 }).not.toEqual([]);
  return trail(tenant, `&action=${action}`);
}

async function createRun(tenant: string, body: Json = {}, headers: Record<string, string> = {}): Promise<Json> {
  const answer = await ask(tenant, '/v1/agents/agt_demo/runs', { body: { input: 'hello', ...body }, headers });
  expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
  return answer.body.run;
}

describe('what leaves a record', () => {
  it('a run: who, which agent in which version, under which correlation', verifies(['PRS-10.3-01', 'PRS-10.3-04', 'PRS-4.3-14'], async () => {
    const tenant = await node.tenant();
    const run = await createRun(tenant, {}, { 'x-correlation-id': 'corr_audited' });
    const [record] = await trail(tenant, '&action=run.create');
    expect(record).toMatchObject({
      tenant_id: tenant, service: AO, action: 'run.create', outcome: 'allowed', principal: { principal_id: 'usr_ada', principal_type: 'user' },
      resource: { type: 'run', id: run.run_id }, correlation_id: 'corr_audited', operation: 'createRun', source: '127.0.0.1',
      details: { agent_id: 'agt_demo', agent_version: run.agent_version ?? expect.any(String) as string },
    });
    expect(record.audit_id).toMatch(/^aud_/);
  }));

  it('a batch: one a run; a replay: none', async () => {
    const tenant = await node.tenant();
    const key = { idempotency_key: 'once' };
    const [first, again] = [await createRun(tenant, key), await createRun(tenant, key)];
    expect(again.run_id).toBe(first.run_id);
    const batch = await ask(tenant, '/v1/runs:batch', { body: { runs: [{ agent_id: 'agt_demo', input: 'a' }, { agent_id: 'agt_demo', input: 'b' }] } });
    expect([200, 201, 207], JSON.stringify(batch.body)).toContain(batch.status);
    const records = await trail(tenant, '&action=run.create');
    expect(records).toHaveLength(3);
    expect(new Set(records.map(({ resource }) => resource.id)).size).toBe(3);
  });

  it('canceling, and only where it happened', async () => {
    const tenant = await node.tenant();
    const run = await createRun(tenant);
    const canceled = await ask(tenant, `/v1/runs/${run.run_id}:cancel`, { method: 'POST' });
    await untilEnded(node.urls[AO], run.run_id, { tenant });
    await ask(tenant, `/v1/runs/${run.run_id}:cancel`, { method: 'POST' });
    const records = await trail(tenant, '&action=run.cancel');
    expect(records).toHaveLength(canceled.status === 200 ? 1 : 0);
    for (const record of records) expect(record).toMatchObject({ resource: { type: 'run', id: run.run_id }, principal: { principal_id: 'usr_ada' }, operation: 'cancelRun' });
  });

  it('agents, tools and webhooks that are made, changed and deleted; what was refused leaves none of theirs', verifies(['PRS-10.3-01'], async () => {
    const tenant = await node.tenant();
    const agent = { agent_id: 'agt_mine', name: 'Mine', instructions: 'Say hello.' };
    expect((await ask(tenant, '/v1/agents', { body: agent })).status).toBe(201);
    expect((await ask(tenant, '/v1/agents', { body: agent })).status).toBe(409);
    expect((await ask(tenant, '/v1/agents/agt_mine', { method: 'PUT', body: { ...agent, instructions: 'Say good morning.' } })).status).toBe(200);
    expect((await ask(tenant, '/v1/agents/agt_mine', { method: 'DELETE' })).status).toBeLessThan(300);
    const tool = { tool_id: 'tool.my.echo', name: 'Echo', description: 'Echoes.', input_schema: { type: 'object' }, webhook: { url: 'https://tools.example.com/echo' } };
    expect((await ask(tenant, '/v1/tools', { body: tool })).status).toBe(201);
    expect((await ask(tenant, '/v1/tools/tool.my.echo', { method: 'DELETE' })).status).toBeLessThan(300);
    const hook = await ask(tenant, '/v1/webhooks', { body: { url: 'https://hooks.example.com/', event_types: ['*'] } });
    expect(hook.status, JSON.stringify(hook.body)).toBe(201);
    const actions = (await trail(tenant)).map(({ action }) => action);
    expect(actions).toEqual(['tenant.create', 'agent.create', 'agent.update', 'agent.delete', 'tool.create', 'tool.delete', 'webhook.create']);
    expect(JSON.stringify(await trail(tenant))).not.toContain(hook.body.webhook.secret);
  }));

  it('a call that was turned away: without the scope, with a key that was revoked, for another tenant', verifies(['PRS-10.3-01', 'PRS-10.3-04'], async () => {
    const tenant = await node.tenant();
    const [revoked, good] = await storeKeys(node.database.url, [
      { tenantId: tenant, principalId: 'svc_gone', scopes: ['runs:read'], revokedAt: new Date().toISOString() },
      { tenantId: tenant, principalId: 'svc_here', scopes: ['runs:read'] },
    ]);
    expect((await ask(tenant, '/v1/agents/agt_demo/runs', { body: { input: 'x' }, scopes: 'runs:read' })).status).toBe(403);
    expect((await call(node.urls[AO], '/v1/runs', { tenant, headers: { 'x-api-key': revoked! } })).status).toBe(401);
    expect((await call(node.urls[AO], '/v1/runs', { tenant: 'tnt_demo', headers: { 'x-api-key': good! } })).body.error.code).toBe('tenant_mismatch');
    await expect.poll(async () => (await trail(tenant, '&action=auth.refused')).length, { timeout: 5_000 }).toBe(3);
    const [scope, key, mismatch] = await trail(tenant, '&action=auth.refused');
    expect(scope).toMatchObject({ outcome: 'denied', principal: { principal_id: 'usr_ada' }, operation: 'createRun', source: '127.0.0.1', details: { status: 403, missing_scopes: ['runs:create'] } });
    expect(key).toMatchObject({ principal: { principal_id: 'svc_gone' }, resource: { type: 'key' }, details: { status: 401, reason: 'invalid_api_key' } });
    expect(mismatch).toMatchObject({ details: { code: 'tenant_mismatch', named_tenant_id: 'tnt_demo' } });
    const text = JSON.stringify([scope, key, mismatch]);
    expect(text).not.toContain(revoked);
    expect(text).not.toContain(good);
  }));

  it('a call for a tenant that there is not leaves its record with the node, and opens no trail', async () => {
    expect((await ask('tnt_nobody_at_all', '/v1/runs')).status).toBe(403);
    const platform = () => call(node.urls[AO], '/v1/audit?tenant_id=_platform&action=auth.refused', { headers: { 'x-scopes': 'audit:read audit:read-all' } });
    await expect.poll(async () => (await platform()).body.records.some((record: Json) => record.details.named_tenant_id === 'tnt_nobody_at_all'), { timeout: 5_000 }).toBe(true);
    const { rows } = await node.database.asSuperuser((client) => client.query("SELECT 1 FROM audit.heads WHERE tenant_id = 'tnt_nobody_at_all'"));
    expect(rows).toEqual([]);
  });

  it('never content: what was asked and answered, keys and secrets stand in no record', verifies(['PRS-10.3-01'], async () => {
    const tenant = await node.tenant();
    const canary = 'canary-7f3a9';
    const run = await createRun(tenant, { input: `The secret word is ${canary}.`, labels: { note: canary }, context: { note: canary } });
    await untilEnded(node.urls[AO], run.run_id, { tenant });
    await ask(tenant, '/v1/agents', { body: { agent_id: 'agt_canary', name: canary, instructions: canary } });
    const { rows } = await node.database.asSuperuser((client) => client.query<{ text: string }>('SELECT entry::text AS text FROM audit.records WHERE tenant_id = $1', [tenant]));
    expect(rows.length).toBeGreaterThan(2);
    expect(rows.map(({ text }) => text).join('\n')).not.toContain(canary);
  }));
});

describe('what Model Policy records', () => {
  const mp = (tenant: string, path: string, options: Call = {}): Promise<Answer> => call(node.urls['model-policy'], path, { ...options, tenant, headers: { 'x-principal-id': 'usr_ada', ...options.headers } });
  const chat = (tenant: string, content: string): Promise<Answer> =>
    mp(tenant, '/v1/models:invoke', { body: { request: { request_id: `req_${Math.random().toString(36).slice(2)}`, operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content }] } } } });
  const recordsOf = async (tenant: string, action: string): Promise<Json[]> => {
    await expect.poll(() => trail(tenant, `&service=model-policy&action=${action}`), { timeout: 10_000 }).not.toEqual([]);
    return trail(tenant, `&service=model-policy&action=${action}`);
  };

  it('each call: who, which model, what policy decided, where it went, what it took; never what was said', verifies(['PRS-10.3-02', 'PRS-3.1-06', 'PRS-10.3-04'], async () => {
    const tenant = await node.tenant();
    expect((await chat(tenant, 'Say canary-93b1.')).status).toBe(200);
    const [record] = await recordsOf(tenant, 'model.invoke');
    expect(record).toMatchObject({ outcome: 'allowed', principal: { principal_id: 'usr_ada' }, decision: { decision: 'allowed', policy_id: expect.any(String) as string }, route: { backend: 'builtin', model: expect.any(String) as string } });
    expect(record.details.tokens).toBeGreaterThan(0);
    expect(JSON.stringify(record)).not.toContain('canary');
  }));

  it('what a run asks of models under the name of whose run it is: audit, ledger, decision and budget of the principal', verifies(['PRS-10.3-01', 'PRS-10.3-02', 'PRS-15.3-04'], async () => {
    const tenant = await node.tenant({ quotas: { models: { budgets: [{ scope: 'principal', window: 'day', max_tokens: 1_000_000 }] } } });
    const runs: string[] = [];
    for (const principal of ['usr_ada', 'usr_bob']) {
      const created = await call(node.urls[AO], '/v1/agents/agt_demo/runs', { tenant, body: { input: 'hello' }, headers: { 'x-principal-id': principal } });
      runs.push(created.body.run.run_id as string);
      await untilEnded(node.urls[AO], created.body.run.run_id as string, { tenant });
    }
    await expect.poll(async () => (await trail(tenant, '&action=model.invoke')).length, { timeout: 10_000 }).toBe(2);
    const records = await trail(tenant, '&action=model.invoke');
    expect(records.map(({ principal, details }) => [principal.principal_id, details.called_by, details.run_id])).toEqual([['usr_ada', 'svc_agent-orchestrator', runs[0]], ['usr_bob', 'svc_agent-orchestrator', runs[1]]]);
    const { entries } = (await mp(tenant, '/v1/usage/entries')).body;
    expect(entries.map((entry: Json) => [entry.principal_id, entry.run_id]).reverse()).toEqual([['usr_ada', runs[0]], ['usr_bob', runs[1]]]);
    expect((await mp(tenant, `/v1/decisions/${entries[0].request_id}`)).body.decision).toMatchObject({ principal_id: 'usr_bob' });
    const { budgets } = (await mp(tenant, '/v1/usage')).body;
    expect(budgets.map((budget: Json) => budget.scope_id).sort()).toEqual(['usr_ada', 'usr_bob']);
  }));

  it('a claim in a body to work for somebody else changes nothing', verifies(['PRS-10.3-04'], async () => {
    const tenant = await node.tenant();
    const auth = { tenant_id: tenant, principal: { principal_id: 'usr_ada', principal_type: 'user' }, scopes: [], on_behalf_of: { principal_id: 'usr_victim', principal_type: 'user' } };
    const answer = await mp(tenant, '/v1/models:invoke', { body: { auth, request: { request_id: `req_${Math.random().toString(36).slice(2)}`, operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'hello' }] } } } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const [record] = await recordsOf(tenant, 'model.invoke');
    expect(record!.principal.principal_id).toBe('usr_ada');
  }));

  it('a call that policy blocked, with the rule set and its version', verifies(['PRS-10.3-02', 'PRS-3.1-06'], async () => {
    const tenant = await node.tenant({ default_policy_id: 'pol_own' });
    expect((await mp(tenant, '/v1/policies/pol_own', { method: 'PUT', body: { rules: [{ id: 'cards', kind: 'pii', types: ['card'], action: 'block', direction: 'both' }] } })).status).toBe(201);
    expect((await chat(tenant, 'My card is 4111 1111 1111 1111.')).status).toBe(403);
    const [record] = await recordsOf(tenant, 'model.invoke');
    expect(record).toMatchObject({ outcome: 'denied', decision: { policy_id: 'pol_own', decision: 'blocked' } });
    // Its hashes are random digits.
    expect(JSON.stringify({ ...record, hash: '', previous_hash: '' })).not.toContain('4111');
    expect((await mp(tenant, '/v1/policies/pol_own', { method: 'PUT', body: { rules: [] } })).status).toBe(200);
    expect((await trail(tenant, '&action=policy.put')).map(({ details }) => details.version)).toEqual([1, 2]);
  }));

  it('who looked at decisions, and who changed the routing of the node', verifies(['PRS-10.3-02'], async () => {
    const tenant = await node.tenant();
    await mp(tenant, '/v1/decisions?model=builtin-fast-1');
    expect((await mp(tenant, '/v1/decisions/req_absent')).status).toBe(404);
    expect((await trail(tenant, '&resource_type=decision')).map(({ action, outcome }) => [action, outcome])).toEqual([['decision.list', 'allowed'], ['decision.read', 'allowed'], ['decision.read', 'failed']]);
    expect((await mp(tenant, '/v1/admin/canaries/none:rollback', { method: 'POST', headers: { 'x-scopes': 'routing:admin' } })).status).toBe(404);
    const platform = await ask(tenant, '/v1/audit?tenant_id=_platform&service=model-policy&action=canary.roll_back', { scopes: 'audit:read audit:read-all' });
    expect(platform.body.records.map(({ outcome, resource }: Json) => [outcome, resource.id])).toEqual([['failed', 'none'], ['allowed', 'none']]);
  }));
});

describe('who reads it', () => {
  it('shows a tenant its own trail, and another one only to who may read all, which is recorded there', verifies(['PRS-10.3-05'], async () => {
    const [mine, theirs] = [await node.tenant(), await node.tenant()];
    await createRun(mine);
    await createRun(theirs);
    expect((await trail(mine)).every(({ tenant_id }) => tenant_id === mine)).toBe(true);
    const refused = await ask(mine, `/v1/audit?tenant_id=${theirs}`);
    expect([refused.status, refused.body.error.details.missing_scopes]).toEqual([403, ['audit:read-all']]);
    expect((await ask(mine, '/v1/audit', { scopes: 'runs:read' })).status).toBe(403);
    const allowed = await ask(mine, `/v1/audit?tenant_id=${theirs}&action=run.create`, { scopes: 'audit:read audit:read-all', headers: { 'x-principal-id': 'usr_operator' } });
    expect(allowed.status, JSON.stringify(allowed.body)).toBe(200);
    expect(allowed.body).toMatchObject({ tenant_id: theirs, records: [{ tenant_id: theirs, action: 'run.create' }] });
    const [reading] = await trail(theirs, '&action=audit.read');
    expect(reading).toMatchObject({ principal: { principal_id: 'usr_operator' }, operation: 'listAudit', details: { acting_tenant_id: mine, filter: { action: 'run.create' } } });
    expect(await trail(mine, '&action=audit.read'), 'reading one\'s own leaves none').toEqual([]);
    for (const path of ['/v1/audit', '/v1/audit:export']) {
      const impossible = await ask(mine, `${path}?tenant_id=tnt_a%2Ctnt_b`, { scopes: 'audit:read audit:read-all' });
      expect([impossible.status, impossible.body.error.details.errors[0].path], path).toEqual([400, '/query/tenant_id']);
    }
  }));

  it('refuses cursors and times that are none', async () => {
    const tenant = await node.tenant();
    for (const query of ['after=nonsense', `after=${Buffer.from('{"a":-1}').toString('base64url')}`, 'from=yesterday', 'outcome=maybe', 'limit=0', 'limit=1001']) {
      const answer = await ask(tenant, `/v1/audit?${query}`);
      expect([query, answer.status, answer.body.error?.code]).toEqual([query, 400, 'invalid_request']);
    }
  });
});

describe('the export', () => {
  it('can be verified by a stranger, and tells what was changed in it', verifies(['PRS-10.3-01', 'PRS-4.3-14'], async () => {
    const tenant = await node.tenant();
    for (let index = 0; index < 5; index += 1) await createRun(tenant);
    for (const path of ['/v1/audit:export?service=agent-orchestrator', '/v1/audit/export?service=agent-orchestrator']) {
      const answer = await ask(tenant, path);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^application\/x-ndjson/)]);
      const lines = (answer.body as string).trimEnd().split('\n');
      expect(lines.map((line) => JSON.parse(line).action)).toEqual(['tenant.create', ...Array.from({ length: 5 }, () => 'run.create')]);
      const { name, record } = parseExportLine(lines[0]!)!;
      const records = [record, ...lines.slice(1).map((line) => parseExportLine(line)!.record)];
      expect(await verifyChain({ name, records })).toMatchObject({ records: 6, faults: [] });
      records[2] = parseExportLine(lines[2]!.replace('usr_ada', 'usr_eve'))!.record;
      expect((await verifyChain({ name, records })).faults).toMatchObject([{ kind: 'edited', sequence: 3 }]);
    }
  }));

  it('takes the same filters, and is recorded with another tenant', async () => {
    const [mine, theirs] = [await node.tenant(), await node.tenant()];
    await createRun(theirs);
    const answer = await ask(mine, `/v1/audit:export?tenant_id=${theirs}&action=run.create`, { scopes: 'audit:read audit:read-all' });
    expect((answer.body as string).trimEnd().split('\n')).toHaveLength(1);
    expect(await trailWith(theirs, 'audit.export')).toHaveLength(1);
    expect((await ask(mine, '/v1/audit:export?action=no.such')).body).toBe('');
  });
});
