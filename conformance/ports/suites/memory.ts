/** What every MemoryPort must do (PRS 5.2, HLD 5.2): a tenant's own namespaces of keys, and search where declared. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { MemoryHarness } from '../contract.ts';
import { expectCapabilities, rejection } from '../fixtures.ts';
import { expiry, room } from './memory-limits.ts';
import { keywordRanks, order, vectorBounds, vectors } from './memory-search.ts';

type Under = () => MemoryHarness;
const KNOWN_FEATURES = ['keyword_search', 'vector_search', 'pgvector'];
const VALUES: readonly unknown[] = [null, true, 0, -1.5, '', 'Ünïcode 🌦', [], [1, [2]], {}, { a: { b: [null] } }];

export function memorySuite(create: () => Promise<MemoryHarness>): void {
  let harness: MemoryHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('values', () => values(under));
  describe('accounts', () => accounts(under));
  describe('bounds', () => bounds(under));
  describe('search', () => search(under));
  describe('keyword ranks', () => keywordRanks(under));
  describe('vectors', () => {
    vectors(under);
    vectorBounds(under);
  });
  describe('order', () => order(under));
  describe('expiry', () => expiry(under));
  describe('room', () => room(under));
  describe('tenants', () => tenants(under));
}

function values(under: Under): void {
  it('declares what it is', () => {
    const capabilities = under().memory.capabilities();
    expectCapabilities(capabilities);
    expect(capabilities.features.filter((feature) => !KNOWN_FEATURES.includes(feature))).toEqual([]);
  });

  it('keeps any JSON value', verifies(['PRS-5.2-06'], async () => {
    const tenant = await under().newTenant();
    for (const [index, value] of VALUES.entries()) {
      await under().memory.put(tenant, { namespace: 'default', key: `k${index}`, value, metadata: { index } });
      expect(await under().memory.get(tenant, 'default', `k${index}`)).toMatchObject({ namespace: 'default', key: `k${index}`, value, metadata: { index } });
    }
  }));

  it('answers null for what is not there', async () => {
    expect(await under().memory.get(await under().newTenant(), 'default', 'absent')).toBeNull();
  });

  it('replaces, also under concurrent writers', async () => {
    const tenant = await under().newTenant();
    await Promise.all(Array.from({ length: 20 }, (_, i) => under().memory.put(tenant, { namespace: 'n', key: 'k', value: i })));
    await under().memory.put(tenant, { namespace: 'n', key: 'k', value: 'last' });
    expect((await under().memory.get(tenant, 'n', 'k'))?.value).toBe('last');
    expect(await under().memory.list(tenant, 'n', { limit: 10 })).toHaveLength(1);
  });

  it('keeps namespaces apart', async () => {
    const tenant = await under().newTenant();
    await under().memory.put(tenant, { namespace: 'a', key: 'k', value: 1 });
    await under().memory.put(tenant, { namespace: 'b', key: 'k', value: 2 });
    expect((await under().memory.get(tenant, 'a', 'k'))?.value).toBe(1);
    expect(await under().memory.delete(tenant, 'a', 'k')).toBe(true);
    expect(await under().memory.delete(tenant, 'a', 'k')).toBe(false);
    expect((await under().memory.get(tenant, 'b', 'k'))?.value).toBe(2);
  });

  it('lists keys in order, by prefix and in pages', async () => {
    const tenant = await under().newTenant();
    for (const key of ['b2', 'a1', 'b1', 'a%', 'a_', 'c']) await under().memory.put(tenant, { namespace: 'n', key, value: key });
    const keys = async (query: { limit: number; after?: string; prefix?: string }) => (await under().memory.list(tenant, 'n', query)).map((item) => item.key);
    expect(await keys({ limit: 2, prefix: 'b' })).toEqual(['b1', 'b2']);
    expect(await keys({ limit: 10, prefix: 'a%' }), 'a prefix is text, not a pattern').toEqual(['a%']);
    expect(await keys({ limit: 10, prefix: 'a_' })).toEqual(['a_']);
    const all = await keys({ limit: 10 });
    expect([...all].sort()).toEqual(['a%', 'a1', 'a_', 'b1', 'b2', 'c'].sort());
    expect(await keys({ limit: 2, after: all[1]! })).toEqual(all.slice(2, 4));
  });
}

function accounts(under: Under): void {
  it('says what an item is: its size, its times, and whether it was there before', async () => {
    const tenant = await under().newTenant();
    const { created, ...first } = await under().memory.put(tenant, { namespace: 'n', key: 'ké', value: { a: 'ü' }, metadata: { kind: 'note', done: false, rank: 2 } });
    expect(created).toBe(true);
    expect(first).toEqual({
      namespace: 'n', key: 'ké', value: { a: 'ü' }, metadata: { kind: 'note', done: false, rank: 2 },
      bytes: 3 + '{"a":"u"}'.length + 1 + '{"kind":"note","done":false,"rank":2}'.length,
      createdAt: expect.stringMatching(/Z$/) as string, updatedAt: first.createdAt, expiresAt: null, embedded: false,
    });
    expect(await under().memory.get(tenant, 'n', 'ké')).toEqual(first);
    const { created: again, ...second } = await under().memory.put(tenant, { namespace: 'n', key: 'ké', value: 1, text: 'words' });
    expect(again).toBe(false);
    expect(second).toMatchObject({ value: 1, metadata: {}, bytes: 3 + 1 + 2 + 5, createdAt: first.createdAt });
    expect(second.updatedAt >= first.updatedAt).toBe(true);
    expect(await under().memory.list(tenant, 'n', { limit: 10 })).toEqual([second]);
  });

  it('counts items and bytes, by namespace and in all', async () => {
    const tenant = await under().newTenant();
    expect(await under().memory.usage(tenant)).toEqual({ items: 0, bytes: 0 });
    expect(await under().memory.namespaces(tenant, { limit: 10 })).toEqual([]);
    const sizes = [];
    for (const [namespace, key] of [['b', '1'], ['a', '1'], ['a', '2'], ['c/d', '1']] as const) sizes.push((await under().memory.put(tenant, { namespace, key, value: namespace + key })).bytes);
    expect(await under().memory.usage(tenant)).toEqual({ items: 4, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0) });
    const [b, a1, a2, c] = sizes as [number, number, number, number];
    expect(await under().memory.namespaces(tenant, { limit: 10 })).toEqual([{ namespace: 'a', items: 2, bytes: a1 + a2 }, { namespace: 'b', items: 1, bytes: b }, { namespace: 'c/d', items: 1, bytes: c }]);
    expect((await under().memory.namespaces(tenant, { limit: 1, after: 'a' })).map(({ namespace }) => namespace)).toEqual(['b']);
    await under().memory.delete(tenant, 'b', '1');
    expect((await under().memory.namespaces(tenant, { limit: 10 })).map(({ namespace }) => namespace)).toEqual(['a', 'c/d']);
    expect(await under().memory.usage(tenant)).toEqual({ items: 3, bytes: a1 + a2 + c });
  });
}

function bounds(under: Under): void {
  it('refuses keys and values out of bounds', async () => {
    const tenant = await under().newTenant();
    const put = (key: string, value: unknown) => under().memory.put(tenant, { namespace: 'n', key, value });
    expect((await rejection(put('k'.repeat(257), 1))).code).toBe('invalid_request');
    expect((await rejection(put('', 1))).code).toBe('invalid_request');
    expect((await rejection(put('k', 'v'.repeat(64 * 1024 + 1)))).code).toBe('invalid_request');
    expect((await rejection(put('line\nbreak', 1))).code).toBe('invalid_request');
    const also = (item: object) => under().memory.put(tenant, { namespace: 'n', key: 'k', value: 1, ...item });
    for (const item of [
      { namespace: '' }, { namespace: 'n'.repeat(257) }, { metadata: { deep: {} } }, { metadata: { nothing: null } }, { metadata: { long: 'm'.repeat(5_000) } },
      { text: 't'.repeat(70_000) }, { ttlSeconds: 0 }, { ttlSeconds: -1 }, { ttlSeconds: Number.NaN }, { ttlSeconds: 1e12 },
    ]) expect((await rejection(also(item))).code, JSON.stringify(item).slice(0, 60)).toBe('invalid_request');
    await put('k'.repeat(256), 'v'.repeat(64 * 1024 - 2));
    expect(await under().memory.list(tenant, 'n', { limit: 10 })).toHaveLength(1);
  });

  it('refuses text that no store can hold, or keeps it without the part that cannot be kept', async () => {
    const tenant = await under().newTenant();
    for (const value of ['nul \u0000', { deep: ['\u0000'] }, 'lone \ud800']) {
      const outcome = await under().memory.put(tenant, { namespace: 'n', key: 'k', value }).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'invalid_request' });
      const kept = await under().memory.get(tenant, 'n', 'k');
      expect(JSON.stringify(kept)).not.toMatch(/\\u0000|\\ud800/);
      if (!(outcome instanceof Error)) expect(kept).toEqual(outcome);
    }
  });
}

function search(under: Under): void {
  it('finds what contains every word, or refuses to search', verifies(['PRS-5.2-07'], async () => {
    const tenant = await under().newTenant();
    await under().memory.put(tenant, { namespace: 'n', key: 'one', value: 'The delivery was late and the box was broken.' });
    await under().memory.put(tenant, { namespace: 'n', key: 'two', value: { note: 'Delivery on time.' } });
    await under().memory.put(tenant, { namespace: 'n', key: 'three', value: 'Nothing of that kind.' });
    await under().memory.put(tenant, { namespace: 'other', key: 'four', value: 'delivery late' });
    const find = (text: string) => under().memory.search(tenant, 'n', { text, limit: 10 });
    if (!under().memory.capabilities().features.includes('keyword_search')) {
      expect((await rejection(find('delivery'))).code, 'an undeclared feature is refused, never answered empty').toBe('invalid_request');
      return;
    }
    expect((await find('delivery')).map((item) => item.key).sort()).toEqual(['one', 'two']);
    expect((await find('LATE delivery')).map((item) => item.key)).toEqual(['one']);
    expect(await find('absent')).toEqual([]);
    expect(await under().memory.search(tenant, 'n', { text: 'delivery', limit: 1 })).toHaveLength(1);
  }));

  it('takes search text as words, whatever characters it holds', async ({ skip }) => {
    const tenant = await under().newTenant();
    if (!under().memory.capabilities().features.includes('keyword_search')) return skip('it does not declare keyword_search');
    await under().memory.put(tenant, { namespace: 'n', key: 'one', value: 'plain words' });
    for (const text of ["'; DROP TABLE memory; --", 'a & | ! ( ) : *', '%_\\', '""', "plain' words"]) {
      await expect(under().memory.search(tenant, 'n', { text, limit: 10 })).resolves.toBeInstanceOf(Array);
    }
    expect(await under().memory.get(tenant, 'n', 'one')).not.toBeNull();
  });
}

function tenants(under: Under): void {
  it('hides memory from every other tenant', verifies(['PRS-13-09', 'HLD-5.2-02', 'PRS-3.1-05'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    await under().memory.put(owner, { namespace: 'n', key: 'k', value: 'secret words' });
    expect(await under().memory.get(stranger, 'n', 'k')).toBeNull();
    expect(await under().memory.list(stranger, 'n', { limit: 10 })).toEqual([]);
    expect(await under().memory.delete(stranger, 'n', 'k')).toBe(false);
    if (under().memory.capabilities().features.includes('keyword_search')) {
      expect(await under().memory.search(stranger, 'n', { text: 'secret', limit: 10 })).toEqual([]);
    }
    await under().memory.put(stranger, { namespace: 'n', key: 'k', value: 'theirs' });
    expect((await under().memory.get(owner, 'n', 'k'))?.value).toBe('secret words');
  }));
}
