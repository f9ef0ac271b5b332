/** Time and room: what has expired is seen nowhere, and no interleaving of writes takes more than the limit. */
import { expect, it } from 'vitest';
import type { MemoryHarness } from '../contract.ts';
import { pause, rejection } from '../fixtures.ts';

type Under = () => MemoryHarness;

const SHORT_SECONDS = 0.2;
const pastShort = (): Promise<void> => pause(SHORT_SECONDS * 1000 + 50);

export function expiry(under: Under): void {
  it('shows an item until its time is up, and to nobody from then on', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const vector = memory.capabilities().features.includes('vector_search');
    const embedding = { model: 'm', vector: Float32Array.of(1, 0) };
    await memory.put(tenant, { namespace: 'n', key: 'stays', value: 'fleeting words' });
    const short = await memory.put(tenant, { namespace: 'n', key: 'goes', value: 'fleeting words', ttlSeconds: SHORT_SECONDS, ...(vector ? { embedding } : {}) });
    expect(Date.parse(short.expiresAt!) - Date.parse(short.updatedAt)).toBe(SHORT_SECONDS * 1000);
    if (vector) await memory.put(tenant, { namespace: 'n', key: 'stays too', value: 1, embedding: { model: 'm', vector: Float32Array.of(1, 1) } });
    await memory.put(tenant, { namespace: 'gone', key: 'goes', value: 1, ttlSeconds: SHORT_SECONDS });
    expect(await memory.get(tenant, 'n', 'goes')).toMatchObject({ value: 'fleeting words', expiresAt: short.expiresAt });
    await pastShort();
    expect(await memory.get(tenant, 'n', 'goes')).toBeNull();
    expect((await memory.list(tenant, 'n', { limit: 1 })).map(({ key }) => key)).toEqual(['stays']);
    if (memory.capabilities().features.includes('keyword_search')) expect((await memory.search(tenant, 'n', { text: 'fleeting', limit: 10 })).map(({ key }) => key)).toEqual(['stays']);
    if (vector) {
      expect((await memory.searchByVector(tenant, 'n', { embedding, limit: 1 })).map(({ key }) => key), 'it takes nobody\'s place').toEqual(['stays too']);
      await memory.delete(tenant, 'n', 'stays too');
      expect(await memory.embeddings(tenant, 'n')).toEqual([]);
    }
    expect((await memory.namespaces(tenant, { limit: 10 })).map(({ namespace, items }) => [namespace, items])).toEqual([['n', 1]]);
    expect((await memory.usage(tenant)).items).toBe(1);
    expect(await memory.delete(tenant, 'gone', 'goes'), 'what cannot be seen cannot be deleted').toBe(false);
    const anew = await memory.put(tenant, { namespace: 'n', key: 'goes', value: 'again' });
    expect(anew).toMatchObject({ created: true, createdAt: anew.updatedAt, expiresAt: null });
  });

  it('lives as long as the last write says', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    await memory.put(tenant, { namespace: 'n', key: 'k', value: 1, ttlSeconds: SHORT_SECONDS });
    await memory.put(tenant, { namespace: 'n', key: 'k', value: 2 });
    await pastShort();
    expect((await memory.get(tenant, 'n', 'k'))?.value).toBe(2);
  });

  it('is swept in bounded batches, of every tenant, and nothing else is', async () => {
    const { memory, newTenant } = under();
    const tenants = [await newTenant(), await newTenant()];
    for (const tenant of tenants) {
      for (let i = 0; i < 5; i += 1) await memory.put(tenant, { namespace: 'n', key: `k${i}`, value: 'swept', ttlSeconds: SHORT_SECONDS });
      await memory.put(tenant, { namespace: 'n', key: 'kept', value: 'swept', ttlSeconds: 600 });
      await memory.put(tenant, { namespace: 'n', key: 'for ever', value: 'swept' });
    }
    await pastShort();
    const swept: number[] = [];
    do swept.push(await memory.sweep(4));
    while (swept.at(-1)! > 0);
    expect(Math.max(...swept)).toBeLessThanOrEqual(4);
    expect(swept.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(10);
    for (const tenant of tenants) {
      const left = await memory.list(tenant, 'n', { limit: 20 });
      expect(left.map(({ key }) => key)).toEqual(['for ever', 'kept']);
      expect(await memory.usage(tenant)).toEqual({ items: 2, bytes: left.reduce((sum, { bytes }) => sum + bytes, 0) });
      if (memory.capabilities().features.includes('keyword_search')) expect((await memory.search(tenant, 'n', { text: 'swept', limit: 20 })).map(({ key }) => key).sort()).toEqual(['for ever', 'kept']);
    }
  });
}

/** Key `kNN`, value of ten characters, no metadata: 3 + 12 + 2. */
const ITEM_BYTES = 17;
const item = (index: number, more: object = {}) => ({ namespace: 'n', key: `k${String(index).padStart(2, '0')}`, value: 'x'.repeat(10), ...more });

export function room(under: Under): void {
  it('refuses what does not fit, with the numbers, and takes what needs no more room', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const maxBytes = 2 * ITEM_BYTES + 3;
    await memory.put(tenant, item(1, { maxBytes }));
    await memory.put(tenant, item(2, { maxBytes }));
    const refusal = await rejection(memory.put(tenant, item(3, { maxBytes })));
    expect([refusal.code, refusal.details]).toEqual(['quota_exceeded', { reason: 'memory_bytes_exceeded', limit: maxBytes, used: 2 * ITEM_BYTES, requested: ITEM_BYTES }]);
    expect(await memory.get(tenant, 'n', 'k03'), 'a refused item is not stored').toBeNull();
    await memory.put(tenant, item(2, { maxBytes, value: 'x'.repeat(13) }));
    expect((await rejection(memory.put(tenant, item(2, { maxBytes, value: 'x'.repeat(14) })))).code).toBe('quota_exceeded');
    expect((await memory.get(tenant, 'n', 'k02'))?.value, 'a refused replacement changes nothing').toBe('x'.repeat(13));
    await memory.put(tenant, item(2, { maxBytes: 1, value: 'less' }));
    await memory.delete(tenant, 'n', 'k01');
    await memory.put(tenant, item(3, { maxBytes }));
    await memory.put(tenant, item(4, { maxBytes: null }));
    expect((await memory.usage(tenant)).bytes).toBe(3 * ITEM_BYTES - 6);
  });

  it('counts vectors and text', async ({ skip }) => {
    const { memory, newTenant } = under();
    if (!memory.capabilities().features.includes('vector_search')) return skip('it does not declare vector_search');
    const stored = await memory.put(await newTenant(), item(1, { text: 'abc', embedding: { model: 'm', vector: Float32Array.of(1, 2, 3) } }));
    expect(stored.bytes).toBe(ITEM_BYTES + 3 + 12);
  });

  it('gives the room of expired items away before it refuses', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    for (let i = 0; i < 3; i += 1) await memory.put(tenant, item(i, { ttlSeconds: SHORT_SECONDS }));
    await pastShort();
    await memory.put(tenant, item(7, { maxBytes: ITEM_BYTES }));
    const refusal = await rejection(memory.put(tenant, item(8, { maxBytes: ITEM_BYTES })));
    expect(refusal.details).toMatchObject({ used: ITEM_BYTES, requested: ITEM_BYTES });
  });

  it('is exact while many write at once', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, i) =>
      memory.put(tenant, item(i, { maxBytes: 12 * ITEM_BYTES })).then(() => 'stored', (error: { code?: string }) => error.code ?? String(error))));
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(12);
    expect(outcomes.filter((outcome) => outcome === 'quota_exceeded')).toHaveLength(28);
    expect(await memory.usage(tenant)).toEqual({ items: 12, bytes: 12 * ITEM_BYTES });
  });

  it('counts right whatever is written, replaced, deleted and swept at once', async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const maxBytes = 20 * ITEM_BYTES;
    const act = async (i: number): Promise<void> => {
      if (i % 5 === 0) await memory.delete(tenant, 'n', item(i % 7).key);
      else if (i % 11 === 0) await memory.sweep(3);
      else await memory.put(tenant, item(i % 23, { maxBytes, value: 'x'.repeat(i % 31), ...(i % 3 === 0 ? { ttlSeconds: 0.05 } : {}) })).catch((error: { code?: string }) => expect(error.code).toBe('quota_exceeded'));
      expect((await memory.usage(tenant)).bytes).toBeLessThanOrEqual(maxBytes);
    };
    await Promise.all(Array.from({ length: 120 }, (_, i) => act(i)));
    await pause(80);
    const left = await memory.list(tenant, 'n', { limit: 100 });
    expect(await memory.usage(tenant)).toEqual({ items: left.length, bytes: left.reduce((sum, { bytes }) => sum + bytes, 0) });
    while ((await memory.sweep(50)) > 0);
    expect(await memory.usage(tenant)).toEqual({ items: left.length, bytes: left.reduce((sum, { bytes }) => sum + bytes, 0) });
  });
}
