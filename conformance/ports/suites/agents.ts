/** What every AgentPort must do (PRS 4.1): agents by id, in pages, one tenant's own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { AgentsHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal } from '../fixtures.ts';
import { agentDefinition } from '../run-fixtures.ts';

export function agentsSuite(create: () => Promise<AgentsHarness>): void {
  let harness: AgentsHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('agents', () => storing(under));
  describe('tenants', () => tenants(under));
}

function storing(under: () => AgentsHarness): void {
  it('declares what it is', () => {
    expectCapabilities(under().agents.capabilities());
  });

  it('gives back what was put, with times and tenant', verifies(['PRS-4.1-02', 'PRS-3.1-01'], async () => {
    const tenant = await under().newTenant();
    const definition = { ...agentDefinition('agt_one'), status: 'active' as const };
    const put = await under().agents.put(tenant, definition);
    expect(put).toMatchObject({ ...definition, tenantId: tenant.tenant_id });
    expect(Number.isNaN(Date.parse(put.createdAt))).toBe(false);
    expect(await under().agents.get(tenant, 'agt_one')).toEqual(put);
  }));

  it('replaces a definition and keeps when it was created', async () => {
    const tenant = await under().newTenant();
    const first = await under().agents.put(tenant, { ...agentDefinition('agt_one'), status: 'active' });
    const second = await under().agents.put(tenant, { ...agentDefinition('agt_one'), version: '2', name: 'Changed', status: 'deprecated' });
    expect(second).toMatchObject({ version: '2', name: 'Changed', status: 'deprecated', createdAt: first.createdAt });
    expect((await under().agents.list(tenant, { limit: 10 })).agents).toHaveLength(1);
  });

  it('changes nothing when an equal definition is put again', async () => {
    const tenant = await under().newTenant();
    const definition = { ...agentDefinition('agt_one'), status: 'active' as const };
    const first = await under().agents.put(tenant, definition);
    expect(await under().agents.put(tenant, definition)).toEqual(first);
  });

  it('lists in pages without overlap', async () => {
    const tenant = await under().newTenant();
    const ids = Array.from({ length: 7 }, (_, i) => `agt_${i}`);
    for (const id of ids) await under().agents.put(tenant, { ...agentDefinition(id), status: 'active' });
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await under().agents.list(tenant, { limit: 3, ...(after === undefined ? {} : { after }) });
      seen.push(...page.agents.map((agent) => agent.agentId));
      if (!page.hasMore) break;
      after = page.agents.at(-1)!.agentId;
    }
    expect([...seen].sort()).toEqual(ids);
    expect(seen).toHaveLength(ids.length);
  });
}

function tenants(under: () => AgentsHarness): void {
  it('hides an agent from every other tenant', verifies(['PRS-13-09', 'PRS-11.2-02', 'PRS-3.1-05'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    await under().agents.put(owner, { ...agentDefinition('agt_secret'), status: 'active' });
    await expectSameRefusal(under().agents.get(stranger, 'agt_secret'), 'agt_secret', under().agents.get(stranger, 'agt_absent'), 'agt_absent');
    expect((await under().agents.list(stranger, { limit: 10 })).agents).toEqual([]);
  }));

  it('keeps equal ids of two tenants apart', async () => {
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    await under().agents.put(one, { ...agentDefinition('agt_same'), name: 'One', status: 'active' });
    await under().agents.put(other, { ...agentDefinition('agt_same'), name: 'Other', status: 'active' });
    expect((await under().agents.get(one, 'agt_same')).name).toBe('One');
    expect((await under().agents.get(other, 'agt_same')).name).toBe('Other');
  });
}
