/**
 * What is found, and in which order. Order is part of the port: `order` asks the adapter under test and the one in
 * memory the same questions about the same seeded items and wants the same answers, scores included.
 */
import { expect, it } from 'vitest';
import { MemoryMemory } from '../../../services/agent-orchestrator/adapters/memory-memory.ts';
import type { MemoryEmbedding, MemoryFilter, MemoryMatch, MemoryPort, MemoryWrite } from '../../../services/agent-orchestrator/ports/memory.ts';
import { verifies } from '../../http/verifies.ts';
import type { MemoryHarness } from '../contract.ts';
import { rejection } from '../fixtures.ts';

type Under = () => MemoryHarness;
type Searched = readonly MemoryMatch[];

const has = (under: Under, feature: string): boolean => under().memory.capabilities().features.includes(feature);
const keysOf = (found: Searched): string[] => found.map(({ key }) => key);
const vector = (...numbers: number[]): MemoryEmbedding => ({ model: 'test/one', vector: Float32Array.from(numbers) });

export function keywordRanks(under: Under): void {
  it('puts first what says it often and in few words', verifies(['PRS-5.2-07'], async ({ skip }: { skip: (note: string) => void }) => {
    if (!has(under, 'keyword_search')) return skip('it does not declare keyword_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const put = (key: string, text: string) => memory.put(tenant, { namespace: 'n', key, value: null, text });
    await put('once', 'a refund, and then a good deal more about other matters entirely');
    await put('short', 'a refund');
    await put('often', 'a refund is a refund is a refund');
    await put('never', 'the matter is closed');
    await put('tie b', 'a refund');
    const found = await memory.search(tenant, 'n', { text: 'Refund', limit: 10 });
    expect(keysOf(found)).toEqual(['often', 'short', 'tie b', 'once']);
    expect(found.every(({ score }, i) => score > 0 && (i === 0 || score <= found[i - 1]!.score))).toBe(true);
    expect(keysOf(await memory.search(tenant, 'n', { text: 'Refund', limit: 2 }))).toEqual(['often', 'short']);
  }));

  it('finds by the words of the key and of the text that was given; else by strings and numbers of the value, not by its members', async ({ skip }) => {
    if (!has(under, 'keyword_search')) return skip('it does not declare keyword_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    await memory.put(tenant, { namespace: 'n', key: 'order-17', value: { note: 'say \\"hi\\"', amounts: [42, { deep: 'Ünïcode' }] } });
    await memory.put(tenant, { namespace: 'n', key: 'b', value: 'hidden', text: 'seen' });
    const find = async (text: string) => keysOf(await memory.search(tenant, 'n', { text, limit: 10 }));
    for (const text of ['order', '17', 'say hi', '42', 'ünïcode', 'U\u0308ni\u0308code'.normalize('NFD')]) expect(await find(text), text).toEqual(['order-17']);
    for (const text of ['note', 'amounts', 'deep', 'hidden', 'unicode', 'orde']) expect(await find(text), text).toEqual([]);
    expect(await find('seen')).toEqual(['b']);
    expect(await find('w'.repeat(5_000)), 'a word of any length').toEqual([]);
    await memory.put(tenant, { namespace: 'n', key: 'long', value: 'w'.repeat(5_000) });
    expect(await find('w'.repeat(5_000))).toEqual(['long']);
  });

  it('forgets the words of what was replaced or deleted', async ({ skip }) => {
    if (!has(under, 'keyword_search')) return skip('it does not declare keyword_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    await memory.put(tenant, { namespace: 'n', key: 'k', value: 'alpha' });
    await memory.put(tenant, { namespace: 'n', key: 'k', value: 'beta' });
    expect(await memory.search(tenant, 'n', { text: 'alpha', limit: 10 })).toEqual([]);
    await memory.delete(tenant, 'n', 'k');
    expect(await memory.search(tenant, 'n', { text: 'beta', limit: 10 })).toEqual([]);
  });

  it('narrows down by metadata', async ({ skip }) => {
    if (!has(under, 'keyword_search')) return skip('it does not declare keyword_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const put = (key: string, metadata: MemoryWrite['metadata']) => memory.put(tenant, { namespace: 'n', key, value: 'word', ...(metadata === undefined ? {} : { metadata }) });
    await put('a', { kind: 'note', year: 2024, open: true });
    await put('b', { kind: 'mail', year: 2025, open: false });
    await put('c', { kind: 'mail', year: 2024 });
    await put('d', undefined);
    await put('e', { kind: '2024', '__proto__x': 'y', "it's": 'quoted' });
    const find = async (filter: MemoryFilter) => keysOf(await memory.search(tenant, 'n', { text: 'word', limit: 10, filter })).sort();
    expect(await find({})).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await find({ kind: 'mail' })).toEqual(['b', 'c']);
    expect(await find({ kind: ['mail', 'note'], year: 2024 })).toEqual(['a', 'c']);
    expect(await find({ open: false })).toEqual(['b']);
    expect(await find({ year: '2024' }), 'a number is no string').toEqual([]);
    expect(await find({ kind: 2024 })).toEqual([]);
    expect(await find({ kind: [] })).toEqual([]);
    expect(await find({ absent: 'x' })).toEqual([]);
    expect(await find({ "it's": 'quoted' })).toEqual(['e']);
  });
}

export function vectors(under: Under): void {
  it('refuses vectors where they are not declared', async ({ skip }) => {
    if (has(under, 'vector_search')) return skip('it declares vector_search');
    const tenant = await under().newTenant();
    expect((await rejection(under().memory.searchByVector(tenant, 'n', { embedding: vector(1, 0), limit: 1 }))).code).toBe('invalid_request');
    expect((await rejection(under().memory.embeddings(tenant, 'n'))).code).toBe('invalid_request');
    expect((await rejection(under().memory.put(tenant, { namespace: 'n', key: 'k', value: 1, embedding: vector(1, 0) }))).code, 'a vector is not silently dropped').toBe('invalid_request');
  });

  it('finds the nearest first, by angle and not by length, ties by key', verifies(['PRS-5.2-07'], async ({ skip }: { skip: (note: string) => void }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const put = (key: string, embedding?: MemoryEmbedding) => memory.put(tenant, { namespace: 'n', key, value: key, ...(embedding === undefined ? {} : { embedding }) });
    await put('far', vector(-1, 0));
    await put('near', vector(10, 1));
    await put('b same', vector(3, 0));
    await put('a same', vector(0.5, 0));
    await put('square', vector(0, 7));
    await put('none');
    const found = await memory.searchByVector(tenant, 'n', { embedding: vector(2, 0), limit: 10 });
    expect(found.map(({ key, score }) => [key, score])).toEqual([['a same', 1], ['b same', 1], ['near', 0.995037], ['square', 0], ['far', -1]]);
    expect(found[2]).toMatchObject({ namespace: 'n', value: 'near', embedded: true });
    expect(keysOf(await memory.searchByVector(tenant, 'n', { embedding: vector(2, 0), limit: 2 }))).toEqual(['a same', 'b same']);
    expect((await memory.get(tenant, 'n', 'none'))?.embedded).toBe(false);
  }));

  it('compares only what one model made, at one length, in one namespace', async ({ skip }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    await memory.put(tenant, { namespace: 'n', key: 'one', value: 1, embedding: vector(1, 0) });
    await memory.put(tenant, { namespace: 'n', key: 'longer', value: 1, embedding: vector(1, 0, 0) });
    await memory.put(tenant, { namespace: 'n', key: 'other', value: 1, embedding: { ...vector(1, 0), model: 'test/two' } });
    await memory.put(tenant, { namespace: 'm', key: 'elsewhere', value: 1, embedding: vector(1, 0) });
    const find = async (embedding: MemoryEmbedding) => keysOf(await memory.searchByVector(tenant, 'n', { embedding, limit: 10 }));
    expect(await find(vector(1, 1))).toEqual(['one']);
    expect(await find(vector(1, 1, 1))).toEqual(['longer']);
    expect(await find({ ...vector(1, 1), model: 'test/two' })).toEqual(['other']);
    expect(await find({ ...vector(1, 1), model: 'test/three' })).toEqual([]);
    expect(await memory.embeddings(tenant, 'n')).toEqual([{ model: 'test/one', dimension: 2 }, { model: 'test/one', dimension: 3 }, { model: 'test/two', dimension: 2 }]);
    expect(await memory.embeddings(tenant, 'absent')).toEqual([]);
  });

  it('replaces the vector with the item, or takes it away', async ({ skip }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const put = (embedding?: MemoryEmbedding) => memory.put(tenant, { namespace: 'n', key: 'k', value: 1, ...(embedding === undefined ? {} : { embedding }) });
    const score = async () => (await memory.searchByVector(tenant, 'n', { embedding: vector(1, 0), limit: 10 })).map((match) => match.score);
    await put(vector(1, 0));
    await put(vector(0, 1));
    expect(await score()).toEqual([0]);
    expect((await put()).embedded).toBe(false);
    expect(await score()).toEqual([]);
    await put(vector(1, 0));
    await memory.delete(tenant, 'n', 'k');
    expect(await score()).toEqual([]);
  });

}

export function vectorBounds(under: Under): void {
  it('refuses what is no direction', async ({ skip }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const tenant = await under().newTenant();
    for (const embedding of [vector(), vector(0, 0), vector(1, Number.NaN), vector(1, Number.POSITIVE_INFINITY), { ...vector(1), model: '' }, { model: 'm', vector: new Float32Array(5_000).fill(1) }]) {
      expect((await rejection(under().memory.put(tenant, { namespace: 'n', key: 'k', value: 1, embedding }))).code).toBe('invalid_request');
      expect((await rejection(under().memory.searchByVector(tenant, 'n', { embedding, limit: 1 }))).code).toBe('invalid_request');
    }
  });

  it('narrows down by metadata', async ({ skip }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    for (let i = 0; i < 6; i += 1) await memory.put(tenant, { namespace: 'n', key: `k${i}`, value: i, metadata: { even: i % 2 === 0, third: i % 3 }, embedding: vector(1, i) });
    const find = async (filter: MemoryFilter) => keysOf(await memory.searchByVector(tenant, 'n', { embedding: vector(1, 0), limit: 10, filter }));
    expect(await find({ even: true })).toEqual(['k0', 'k2', 'k4']);
    expect(await find({ even: false, third: [0, 1] })).toEqual(['k1', 'k3']);
    expect(await find({})).toHaveLength(6);
  });

  it('hides vectors from every other tenant', async ({ skip }) => {
    if (!has(under, 'vector_search')) return skip('it does not declare vector_search');
    const { memory, newTenant } = under();
    const [owner, stranger] = [await newTenant(), await newTenant()];
    await memory.put(owner, { namespace: 'n', key: 'k', value: 'secret', embedding: vector(1, 0) });
    expect(await memory.searchByVector(stranger, 'n', { embedding: vector(1, 0), limit: 10 })).toEqual([]);
    expect(await memory.embeddings(stranger, 'n')).toEqual([]);
    expect(await memory.namespaces(stranger, { limit: 10 })).toEqual([]);
    expect(await memory.usage(stranger)).toEqual({ items: 0, bytes: 0 });
  });
}

const VOCABULARY = 'red green blue order refund parcel late broken customer city Köln naïve 東京 x1 42 again'.split(' ');

/** Reproducible numbers from 0 to 1 (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Few words, coarse vectors and many repetitions: ties are the rule. */
function corpus(random: () => number): MemoryWrite[] {
  const direction = (): Float32Array => Float32Array.from({ length: 8 }, (_, i) => (i === 0 ? 1 : Math.round(random() * 2 - 1)));
  const sentence = (): string => Array.from({ length: 1 + Math.floor(random() * 12) }, () => VOCABULARY[Math.floor(random() ** 2 * VOCABULARY.length)]).join(random() < 0.5 ? ' ' : ', ');
  return Array.from({ length: 300 }, (_, i) => ({
    namespace: 'n',
    key: `${['Ä', 'a', 'Z', '_', '😀', 'ﬀ'][i % 6]}${Math.floor(random() * 1_000)}-${i}`,
    value: sentence(),
    metadata: { colour: VOCABULARY[i % 3]!, even: i % 2 === 0, rank: i % 5 },
    ...(i % 4 === 3 ? {} : { embedding: { model: 'test/one', vector: direction() } }),
  }));
}

export function order(under: Under): void {
  it('is that of the adapter in memory: the same keys and scores for the same items', verifies(['PRS-5.2-07'], async () => {
    const { memory, newTenant } = under();
    const tenant = await newTenant();
    const reference: MemoryPort = new MemoryMemory();
    const random = seeded(20_260_401);
    for (const { embedding, ...item } of corpus(random)) {
      const whole = embedding === undefined || !has(under, 'vector_search') ? item : { ...item, embedding };
      await Promise.all([memory.put(tenant, whole), reference.put(tenant, whole)]);
    }
    const both = async (ask: (port: MemoryPort) => Promise<Searched>, question: unknown): Promise<number> => {
      const [found, wanted] = await Promise.all([ask(memory), ask(reference)]);
      const ranks = (matches: Searched) => matches.map(({ key, score }) => [key, score]);
      expect(ranks(found), JSON.stringify(question)).toEqual(ranks(wanted));
      return found.length;
    };
    let hits = 0;
    for (let round = 0; round < 25; round += 1) {
      const filter: MemoryFilter = round % 2 === 0 ? {} : { colour: ['red', 'green'], even: round % 4 === 1 };
      const limit = 1 + Math.floor(random() * 60);
      const text = Array.from({ length: 1 + (round % 3) }, () => VOCABULARY[Math.floor(random() ** 2 * VOCABULARY.length)]).join(' ');
      if (has(under, 'keyword_search')) hits += await both((port) => port.search(tenant, 'n', { text, limit, filter }), { text, limit, filter });
      const embedding = { model: 'test/one', vector: Float32Array.from({ length: 8 }, () => random() * 2 - 1) };
      if (has(under, 'vector_search')) hits += await both((port) => port.searchByVector(tenant, 'n', { embedding, limit, filter }), { round, limit, filter });
    }
    if (has(under, 'keyword_search') || has(under, 'vector_search')) expect(hits, 'the questions found something').toBeGreaterThan(100);
    const pages = async (port: MemoryPort): Promise<string[]> => {
      const keys: string[] = [];
      for (let after = ''; ; ) {
        const page = await port.list(tenant, 'n', { limit: 37, after });
        keys.push(...page.map(({ key }) => key));
        if (page.length < 37) return keys;
        after = keys.at(-1)!;
      }
    };
    const listed = await pages(memory);
    expect(listed).toEqual(await pages(reference));
    expect(new Set(listed).size).toBe(300);
  }));
}
