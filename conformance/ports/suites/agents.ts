/** What every AgentPort must do (PRS 4.1): agents by id, in pages, one tenant's own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { AgentDraft, AgentRecord } from '../../../services/agent-orchestrator/ports/agents.ts';
import type { AgentsHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal, rejection } from '../fixtures.ts';
import { agentDefinition } from '../run-fixtures.ts';

export function agentsSuite(create: () => Promise<AgentsHarness>): void {
  let harness: AgentsHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('agents', () => storing(under));
  describe('versions', () => versions(under));
  describe('tenants', () => tenants(under));
}

function agentDraft(agentId: string, overrides: Partial<AgentDraft> = {}): AgentDraft {
  const { version: _version, ...definition } = agentDefinition(agentId);
  return { ...definition, status: 'active', ...overrides };
}

function storing(under: () => AgentsHarness): void {
  it('declares what it is', () => {
    expectCapabilities(under().agents.capabilities());
  });

  it('gives back what was put, with times and tenant', verifies(['PRS-4.1-02', 'PRS-3.1-01'], async () => {
    const tenant = await under().newTenant();
    const definition = agentDraft('agt_one');
    const put = await under().agents.put(tenant, definition);
    expect(put).toMatchObject({ ...definition, tenantId: tenant.tenant_id, version: '1' });
    expect(Number.isNaN(Date.parse(put.createdAt))).toBe(false);
    expect(await under().agents.get(tenant, 'agt_one')).toEqual(put);
  }));

  it('replaces a definition and keeps when it was created', async () => {
    const tenant = await under().newTenant();
    const first = await under().agents.put(tenant, agentDraft('agt_one'));
    const second = await under().agents.put(tenant, agentDraft('agt_one', { name: 'Changed', status: 'deprecated' }));
    expect(second).toMatchObject({ version: '2', name: 'Changed', status: 'deprecated', createdAt: first.createdAt });
    expect((await under().agents.list(tenant, { limit: 10 })).agents).toHaveLength(1);
  });

  it('changes nothing when an equal definition is put again', async () => {
    const tenant = await under().newTenant();
    const definition = agentDraft('agt_one');
    const first = await under().agents.put(tenant, definition);
    expect(await under().agents.put(tenant, definition)).toEqual(first);
  });

  it('creates once and says so the second time', async () => {
    const tenant = await under().newTenant();
    expect(await under().agents.create(tenant, agentDraft('agt_one'))).toMatchObject({ version: '1' });
    await expectError(under().agents.create(tenant, agentDraft('agt_one', { name: 'Other' })), 'conflict');
    expect(await under().agents.get(tenant, 'agt_one')).toMatchObject({ version: '1', name: 'Suite' });
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => under().agents.create(tenant, agentDraft('agt_race'))));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  it('replaces only what is there', async () => {
    await expectError(under().agents.replace(await under().newTenant(), agentDraft('agt_absent')), 'not_found');
  });

  it('keeps permissions, retries and what follows a failed tool', async () => {
    const tenant = await under().newTenant();
    const definition = agentDraft('agt_one', {
      permissions: { agents: ['agt_two'], memory: { read: ['kv:*'], write: [] }, hosts: ['*.example.com'], principals: ['usr_1'] },
      onToolFailure: 'abort',
      retry: { modelAttempts: 1, toolAttempts: 4, backoffMs: 10, maxBackoffMs: 100 },
    });
    await under().agents.put(tenant, definition);
    expect(await under().agents.get(tenant, 'agt_one')).toMatchObject(definition);
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

function versions(under: () => AgentsHarness): void {
  const names = (page: { readonly agents: readonly AgentRecord[] }): string[] => page.agents.map((agent) => `${agent.version} ${agent.name}`);

  it('keeps every version, and counts one only for a definition that differs', async () => {
    const tenant = await under().newTenant();
    await under().agents.create(tenant, agentDraft('agt_one'));
    await under().agents.replace(tenant, agentDraft('agt_one', { name: 'Second' }));
    await under().agents.replace(tenant, agentDraft('agt_one', { name: 'Second' }));
    expect(await under().agents.replace(tenant, agentDraft('agt_one', { name: 'Second', status: 'inactive' }))).toMatchObject({ version: '2', status: 'inactive' });
    expect(names(await under().agents.versions(tenant, 'agt_one', { limit: 10 }))).toEqual(['2 Second', '1 Suite']);
  });

  it('lists versions in pages, newest first', async () => {
    const tenant = await under().newTenant();
    for (let i = 1; i <= 5; i += 1) await under().agents.put(tenant, agentDraft('agt_one', { name: `v${i}` }));
    const first = await under().agents.versions(tenant, 'agt_one', { limit: 2 });
    expect([names(first), first.hasMore]).toEqual([['5 v5', '4 v4'], true]);
    const rest = await under().agents.versions(tenant, 'agt_one', { limit: 10, after: '4' });
    expect([names(rest), rest.hasMore]).toEqual([['3 v3', '2 v2', '1 v1'], false]);
    expect(names(await under().agents.versions(tenant, 'agt_one', { limit: 10, after: '1' }))).toEqual([]);
    await expectError(under().agents.versions(tenant, 'agt_absent', { limit: 10 }), 'not_found');
  });

  it('rolls back by making a new version, and loses none', async () => {
    const tenant = await under().newTenant();
    await under().agents.put(tenant, agentDraft('agt_one', { name: 'Good' }));
    await under().agents.put(tenant, agentDraft('agt_one', { name: 'Bad' }));
    expect(await under().agents.rollBack(tenant, 'agt_one', '1')).toMatchObject({ version: '3', name: 'Good' });
    expect(names(await under().agents.versions(tenant, 'agt_one', { limit: 10 }))).toEqual(['3 Good', '2 Bad', '1 Good']);
    for (const version of ['9', 'x', '0', '-1', '99999999999999']) await expectError(under().agents.rollBack(tenant, 'agt_one', version), 'not_found');
    await expectError(under().agents.rollBack(tenant, 'agt_absent', '1'), 'not_found');
  });

  it('gives racing writers a version each', async () => {
    const tenant = await under().newTenant();
    await Promise.all(Array.from({ length: 6 }, (_, i) => under().agents.put(tenant, agentDraft('agt_one', { name: `writer ${i}` }))));
    const found = (await under().agents.versions(tenant, 'agt_one', { limit: 10 })).agents;
    expect(found.map((agent) => agent.version)).toEqual(['6', '5', '4', '3', '2', '1']);
    expect(new Set(found.map((agent) => agent.name)).size).toBe(6);
  });

  it('deletes an agent with its versions', async () => {
    const tenant = await under().newTenant();
    await under().agents.put(tenant, agentDraft('agt_one', { name: 'First' }));
    await under().agents.put(tenant, agentDraft('agt_one'));
    await under().agents.delete(tenant, 'agt_one');
    await expectError(under().agents.get(tenant, 'agt_one'), 'not_found');
    await expectError(under().agents.delete(tenant, 'agt_one'), 'not_found');
    expect(await under().agents.create(tenant, agentDraft('agt_one'))).toMatchObject({ version: '1' });
    expect((await under().agents.versions(tenant, 'agt_one', { limit: 10 })).agents).toHaveLength(1);
  });
}

function tenants(under: () => AgentsHarness): void {
  it('hides an agent from every other tenant', verifies(['PRS-13-09', 'PRS-11.2-02', 'PRS-3.1-05'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    await under().agents.put(owner, { ...agentDefinition('agt_secret'), status: 'active' });
    await expectSameRefusal(under().agents.get(stranger, 'agt_secret'), 'agt_secret', under().agents.get(stranger, 'agt_absent'), 'agt_absent');
    expect((await under().agents.list(stranger, { limit: 10 })).agents).toEqual([]);
    await expectError(under().agents.replace(stranger, agentDraft('agt_secret', { name: 'Mine' })), 'not_found');
    await expectError(under().agents.versions(stranger, 'agt_secret', { limit: 10 }), 'not_found');
    await expectError(under().agents.rollBack(stranger, 'agt_secret', '1'), 'not_found');
    await expectError(under().agents.delete(stranger, 'agt_secret'), 'not_found');
    expect((await under().agents.get(owner, 'agt_secret')).version).toBe('1');
  }));

  it('keeps equal ids of two tenants apart', async () => {
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    await under().agents.put(one, { ...agentDefinition('agt_same'), name: 'One', status: 'active' });
    await under().agents.put(other, { ...agentDefinition('agt_same'), name: 'Other', status: 'active' });
    expect((await under().agents.get(one, 'agt_same')).name).toBe('One');
    expect((await under().agents.get(other, 'agt_same')).name).toBe('Other');
  });
}

async function expectError(promise: Promise<unknown>, code: string): Promise<void> {
  expect((await rejection(promise)).code).toBe(code);
}
