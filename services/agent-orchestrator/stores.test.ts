/** A node without a database: what a deleted tenant leaves in it. */
import { describe, expect, it } from 'vitest';
import { freshTenant } from '../../conformance/ports/fixtures.ts';
import { agentDefinition, claimOptions, completion, create, WORKER } from '../../conformance/ports/run-fixtures.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import { newId } from '../platform/ids.ts';
import { openMemoryStores, type Stores } from './stores.ts';

const OPERATOR: AuthContext = { tenant_id: 'tnt_node', principal: { principal_id: 'usr_operator', principal_type: 'user' }, scopes: ['tenants:admin'] };
const NEVER = new AbortController().signal;

async function fill(stores: Stores, tenant: AuthContext): Promise<void> {
  await stores.directory.createTenant(OPERATOR, { tenant_id: tenant.tenant_id });
  await stores.directory.putPrincipal(tenant, { tenantId: tenant.tenant_id, principalId: 'usr_1', principalType: 'user', displayName: 'One', roles: ['tenant_user'] });
  const { version: _version, ...definition } = agentDefinition('agt_one');
  await stores.agents.put(tenant, { ...definition, status: 'active' });
  await stores.memory.put(tenant, { namespace: 'n', key: 'k', value: 'a secret of the tenant' });
  const webhook = { webhookId: newId('whk'), secret: 'whsec_x', limit: 10, idempotency: null, url: 'https://hooks.example.com/', eventTypes: ['*'], agentIds: null, enabled: true, description: null };
  await stores.webhooks.create(tenant, webhook as never);
  await stores.toolRegistry.createServer(tenant, { serverId: 'mcp_one', transport: { type: 'streamable_http', url: 'https://mcp.example.com/' }, toolsAllowed: null, timeoutMs: 1_000, enabled: true } as never, null);
  await create(stores, tenant, { idempotency: { key: 'idem', requestHash: 'h', ttlHours: 1 } });
}

const counts = async (stores: Stores, tenant: AuthContext): Promise<Record<string, number>> => ({
  agents: (await stores.agents.list(tenant, { limit: 10 })).agents.length,
  memory: (await stores.memory.usage(tenant)).items,
  webhooks: (await stores.webhooks.list(tenant, { limit: 10 })).webhooks.length,
  servers: (await stores.toolRegistry.load(tenant)).servers.length,
  runs: (await stores.runState.listRuns(tenant, { limit: 10 })).runs.length,
  queued: (await stores.queue.loads(WORKER, [tenant.tenant_id])).get(tenant.tenant_id)?.queued ?? 0,
});

describe('the stores in memory', () => {
  it('forget a tenant that was deleted, all of them, and no other one', async () => {
    const stores = openMemoryStores();
    const [goes, stays] = [freshTenant(), freshTenant()];
    await fill(stores, goes);
    const [claimed] = await stores.queue.claim(WORKER, claimOptions());
    await create(stores, goes);
    await fill(stores, stays);
    const full = { agents: 1, memory: 1, webhooks: 1, servers: 1, runs: 1, queued: 1 };
    expect([await counts(stores, goes), await counts(stores, stays)]).toEqual([{ ...full, runs: 2 }, full]);
    await stores.directory.requestTenantDeletion(OPERATOR, goes.tenant_id, 0);
    await expect.poll(async () => (await stores.tenantPurge.run(NEVER)).map(({ tenantId, rows }) => [tenantId, rows])).toEqual([[goes.tenant_id, { runs: 2, agents: 1, memory_items: 1, webhooks: 1, tools: 1 }]]);
    expect(await counts(stores, goes)).toEqual({ agents: 0, memory: 0, webhooks: 0, servers: 0, runs: 0, queued: 0 });
    expect(await counts(stores, stays)).toEqual(full);
    expect(await stores.runState.advance(goes, claimed!.lease, completion(claimed!.run.runId, 0)), 'a worker that was still at it').toEqual({ outcome: 'fenced', status: 'canceled' });
    expect((await stores.queue.claim(WORKER, claimOptions({ limit: 10 }))).map(({ lease: { tenantId } }) => tenantId)).toEqual([stays.tenant_id]);
    const { records } = await stores.audit.list({ ...OPERATOR, tenant_id: goes.tenant_id }, { limit: 100 });
    expect(records.map(({ action }) => action)).toEqual(expect.arrayContaining(['tenant.create', 'run.create', 'tenant.purge']));
  });
});
