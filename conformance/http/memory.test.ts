/** Memory over HTTP (PRS 5.2, 3.1): items, search by words and by meaning, what expires, what is full, and whose it is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Answer, type Call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
let node: TestNode;
beforeAll(async () => {
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'], env: { AGENTOS_MEMORY_BYTES_LIMIT: '5000' } });
});
afterAll(() => node?.close());

const ask = (tenant: string, path: string, options: Call = {}): Promise<Answer> => call(node.urls[AO], path, { tenant, ...options });
const itemPath = (namespace: string, key: string): string => `/v1/memory/${encodeURIComponent(namespace)}/items/${encodeURIComponent(key)}`;
const put = (tenant: string, namespace: string, key: string, body: unknown): Promise<Answer> => ask(tenant, itemPath(namespace, key), { method: 'PUT', body });
const search = (tenant: string, namespace: string, body: unknown): Promise<Answer> => ask(tenant, `/v1/memory/${encodeURIComponent(namespace)}:search`, { body });
const keysOf = (answer: Answer): string[] => answer.body.results.map((result: { item: { key: string } }) => result.item.key);

function expectContract(operationId: string, answer: Answer, status: number): void {
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  if (status !== 204) expect(faultsOf(operation(AO, operationId), status, answer.body)).toEqual([]);
}

describe('an item', () => {
  it('is written, read, replaced, listed and deleted', verifies(['PRS-5.2-06', 'PRS-4.1-01'], async () => {
    const tenant = await node.tenant();
    const value = { title: 'Refunds', body: 'A refund takes five working days.' };
    const made = await put(tenant, 'notes', 'refunds', { value, metadata: { topic: 'billing', reviewed: true } });
    expectContract('putMemoryItem', made, 201);
    expect(made.body).toMatchObject({ tenant_id: tenant, item: { namespace: 'notes', key: 'refunds', value, metadata: { topic: 'billing', reviewed: true }, expires_at: null, embedded: false } });
    const read = await ask(tenant, itemPath('notes', 'refunds'));
    expectContract('getMemoryItem', read, 200);
    expect(read.body.item).toEqual(made.body.item);
    const replaced = await put(tenant, 'notes', 'refunds', { value: 2 });
    expectContract('putMemoryItem', replaced, 200);
    expect(replaced.body.item).toMatchObject({ value: 2, metadata: {}, created_at: made.body.item.created_at });
    await put(tenant, 'notes', 'Ünïcode: 50 % & more?', { value: null });
    await put(tenant, 'notes', 'refund-policy', { value: [] });
    const page = await ask(tenant, '/v1/memory/notes/items?prefix=refund&limit=1');
    expectContract('listMemoryItems', page, 200);
    expect([page.body.items.map((item: { key: string }) => item.key), page.body.has_more]).toEqual([['refund-policy'], true]);
    const next = await ask(tenant, '/v1/memory/notes/items?prefix=refund&limit=1&after=refund-policy');
    expect([next.body.items.map((item: { key: string }) => item.key), next.body.has_more]).toEqual([['refunds'], false]);
    expect((await ask(tenant, itemPath('notes', 'Ünïcode: 50 % & more?'))).body.item.value).toBeNull();
    expectContract('deleteMemoryItem', await ask(tenant, itemPath('notes', 'refunds'), { method: 'DELETE' }), 204);
    for (const method of ['GET', 'DELETE']) {
      const gone = await ask(tenant, itemPath('notes', 'refunds'), { method });
      expect([gone.status, gone.body.error.code]).toEqual([404, 'not_found']);
    }
  }));

  it('is gone when its time is up', async () => {
    const tenant = await node.tenant();
    const made = await put(tenant, 'n', 'k', { value: 1, ttl_seconds: 1 });
    expect(Date.parse(made.body.item.expires_at) - Date.parse(made.body.item.updated_at)).toBe(1_000);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await ask(tenant, itemPath('n', 'k'))).status).toBe(404);
    expect((await ask(tenant, '/v1/memory')).body.namespaces).toEqual([]);
  });

  it('is refused when it is none', async () => {
    const tenant = await node.tenant();
    for (const [body, status] of [
      [{}, 400], [{ value: 1, metadata: { deep: {} } }, 400], [{ value: 1, ttl_seconds: 0 }, 400], [{ value: 1, ttl_seconds: 1.5 }, 400], [{ value: 'v'.repeat(70_000) }, 400],
      [{ value: 'nul \u0000' }, 400], [{ value: 1, text: 7 }, 400], [{ value: 1, embed: 'yes' }, 400],
    ] as const) {
      const answer = await put(tenant, 'n', 'k', body);
      expect([answer.status, answer.body.error?.code], JSON.stringify(body).slice(0, 60)).toEqual([status, 'invalid_request']);
    }
    expect((await put(tenant, 'n', 'k'.repeat(257), { value: 1 })).status).toBeGreaterThanOrEqual(400);
    expect((await ask(tenant, '/v1/memory:usage')).body.items).toBe(0);
  });
});

describe('search', () => {
  it('finds by words, by meaning and by both, and says which', verifies(['PRS-5.2-07'], async () => {
    const tenant = await node.tenant();
    const texts = { refund: 'A refund takes five working days.', parcel: 'The parcel was delivered to the neighbour.', refunds: 'Refunds of broken parcels take longer.', plain: 'A refund, not embedded.' };
    for (const [key, value] of Object.entries(texts)) {
      const made = await put(tenant, 'help', key, { value, metadata: { kind: key === 'parcel' ? 'shipping' : 'billing' }, embed: key !== 'plain' });
      expect([made.status, made.body.item?.embedded], JSON.stringify(made.body)).toEqual([201, key !== 'plain']);
    }
    const words = await search(tenant, 'help', { query: 'REFUND', mode: 'keyword' });
    expectContract('searchMemory', words, 200);
    expect([words.body.mode, keysOf(words)]).toEqual(['keyword', ['refund', 'plain']]);
    expect(words.body.results.every((result: { matched: string }) => result.matched === 'keyword')).toBe(true);
    const meaning = await search(tenant, 'help', { query: 'how many working days does a refund take', mode: 'vector', limit: 2 });
    expectContract('searchMemory', meaning, 200);
    expect([meaning.body.mode, keysOf(meaning)[0], meaning.body.results.length]).toEqual(['vector', 'refund', 2]);
    const both = await search(tenant, 'help', { query: 'refund' });
    expectContract('searchMemory', both, 200);
    expect(both.body.mode, 'the namespace has vectors').toBe('hybrid');
    expect(both.body.results.map(({ item, matched }: { item: { key: string }; matched: string }) => [item.key, matched]).slice(0, 2)).toEqual([['refund', 'both'], ['plain', 'keyword']]);
    expect([...keysOf(both)].sort()).toEqual(['parcel', 'plain', 'refund', 'refunds']);
    expect(keysOf(await search(tenant, 'help', { query: 'refund', filter: { kind: ['shipping', 'other'] } }))).toEqual(['parcel']);
    expect(keysOf(await search(tenant, 'help', { query: 'refund', mode: 'vector', min_score: 0.999 }))).toEqual([]);
    const byPath = await call(node.urls[AO], '/v1/memory/help/search', { tenant, body: { query: 'refund', mode: 'keyword' } });
    expect(byPath.body.results).toEqual((await search(tenant, 'help', { query: 'refund', mode: 'keyword' })).body.results);
  }));

  it('is by words alone where nothing was embedded, and empty where there is nothing', async () => {
    const tenant = await node.tenant();
    await put(tenant, 'n', 'k', { value: 'one two' });
    const found = await search(tenant, 'n', { query: 'two' });
    expect([found.body.mode, keysOf(found)]).toEqual(['keyword', ['k']]);
    expect((await search(tenant, 'absent', { query: 'two' })).body.results).toEqual([]);
    expect((await search(tenant, 'n', { query: 'two', mode: 'fuzzy' })).status).toBe(400);
  });
});

describe('room', () => {
  it('is limited by the node, or by the quota of the tenant, with the numbers', verifies(['PRS-15.3-03'], async () => {
    const tenant = await node.tenant();
    const usage = await ask(tenant, '/v1/memory:usage');
    expectContract('getMemoryUsage', usage, 200);
    expect(usage.body).toMatchObject({ bytes_used: 0, bytes_limit: 5_000, items: 0 });
    const first = await put(tenant, 'n', 'one', { value: 'v'.repeat(4_000) });
    const refused = await put(tenant, 'n', 'two', { value: 'v'.repeat(2_000) });
    expectContract('putMemoryItem', refused, 403);
    expect(refused.body.error).toMatchObject({ code: 'quota_exceeded', details: { reason: 'memory_bytes_exceeded', limit: 5_000, used: first.body.item.bytes, requested: 3 + 2_002 + 2 } });
    expect((await ask(tenant, '/v1/memory:usage')).body).toMatchObject({ bytes_used: first.body.item.bytes, items: 1 });
    const roomy = await node.tenant({ quotas: { storage: { max_memory_bytes: 9_000 } } });
    for (const key of ['one', 'two']) expect((await put(roomy, 'n', key, { value: 'v'.repeat(4_000) })).status).toBe(201);
    expect((await put(roomy, 'n', 'three', { value: 'v'.repeat(4_000) })).body.error.details).toMatchObject({ limit: 9_000 });
  }));
});

describe('memory belongs to its tenant', () => {
  it('is not there for anybody else', verifies(['PRS-13-09', 'PRS-3.1-05', 'HLD-5.2-02'], async () => {
    const [owner, stranger] = [await node.tenant(), await node.tenant()];
    await put(owner, 'n', 'k', { value: 'secret words', embed: true });
    const foreign = await ask(stranger, itemPath('n', 'k'));
    const absent = await ask(stranger, itemPath('n', 'absent'));
    expect([foreign.status, foreign.body.error.message.replace(' k ', ' absent ')]).toEqual([404, absent.body.error.message]);
    expect((await ask(stranger, itemPath('n', 'k'), { method: 'DELETE' })).status).toBe(404);
    expect((await ask(stranger, '/v1/memory/n/items')).body.items).toEqual([]);
    expect((await ask(stranger, '/v1/memory')).body.namespaces).toEqual([]);
    for (const mode of ['keyword', 'vector', 'hybrid']) expect((await search(stranger, 'n', { query: 'secret words', mode })).body.results).toEqual([]);
    expect((await ask(stranger, '/v1/memory:usage')).body).toMatchObject({ bytes_used: 0, items: 0 });
    await put(stranger, 'n', 'k', { value: 'theirs' });
    expect((await ask(owner, itemPath('n', 'k'))).body.item.value).toBe('secret words');
  }));

  it('takes memory:read to read and memory:write to write', verifies(['PRS-3.1-04'], async () => {
    const tenant = await node.tenant();
    const as = (scopes: string, method: string, path: string, body?: unknown) => ask(tenant, path, { method, headers: { 'x-scopes': scopes }, ...(body === undefined ? {} : { body }) });
    const path = itemPath('n', 'k');
    expect((await as('memory:read', 'PUT', path, { value: 1 })).status).toBe(403);
    expect((await as('memory:write', 'PUT', path, { value: 1 })).status).toBe(201);
    expect((await as('memory:write', 'GET', path)).status).toBe(403);
    expect((await as('memory:read', 'GET', path)).status).toBe(200);
    expect((await as('memory:read', 'DELETE', path)).status).toBe(403);
    for (const read of ['/v1/memory', '/v1/memory:usage', '/v1/memory/n/items']) {
      expect((await as('memory:read', 'GET', read)).status, read).toBe(200);
      expect((await as('runs:read', 'GET', read)).status, read).toBe(403);
    }
    expect((await as('memory:write', 'POST', '/v1/memory/n:search', { query: 'x' })).status).toBe(403);
  }));

  it('lists namespaces, those that agents keep values in among them', async () => {
    const tenant = await node.tenant();
    for (const namespace of ['notes', 'kv:default', 'a:search']) await put(tenant, namespace, 'k', { value: namespace });
    const listed = await ask(tenant, '/v1/memory?limit=2');
    expectContract('listMemoryNamespaces', listed, 200);
    expect([listed.body.namespaces.map(({ namespace }: { namespace: string }) => namespace), listed.body.has_more]).toEqual([['a:search', 'kv:default'], true]);
    expect((await ask(tenant, '/v1/memory?after=kv%3Adefault')).body).toMatchObject({ namespaces: [{ namespace: 'notes', items: 1 }], has_more: false });
    expect((await ask(tenant, itemPath('kv:default', 'k'))).body.item.value).toBe('kv:default');
    expect(keysOf(await search(tenant, 'a:search', { query: 'search' }))).toEqual(['k']);
  });
});
