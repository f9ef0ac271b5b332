import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { ModelRequest, ModelResponse, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryMemory } from '../adapters/memory-memory.ts';
import type { MemoryMatch, MemoryPort } from '../ports/memory.ts';
import type { ModelCallOptions } from '../ports/model.ts';
import { createMemory, fuse, type Memory } from './memory.ts';
import { MemorySweeper } from './sweeper.ts';
import { textOfJson, wordsOf } from './text.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr_test', principal_type: 'user' }, scopes: ['memory:read', 'memory:write'] };
const QUOTAS = { AGENTOS_QUOTA_RUN_CREATE_QPS: 1, AGENTOS_QUOTA_CONCURRENT_RUNS: 1, AGENTOS_QUOTA_INVOKE_QPS: 1, AGENTOS_MEMORY_BYTES_LIMIT: 1_000 };

/** Answers the vector of a text, or the error that it is told to. */
class ScriptedEmbedder {
  readonly calls: { readonly request: ModelRequest; readonly options: ModelCallOptions }[] = [];
  fail: ErrorCode | null = null;
  model = 'embedder-1';
  vectors: Readonly<Record<string, readonly number[]>> = {};

  async embed(_auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    this.calls.push({ request, options });
    if (this.fail !== null) throw new AgentOsError(this.fail, { message: 'No.' });
    const [text] = (request.input as { texts: string[] }).texts as [string];
    const vector = Buffer.from(Float32Array.from(this.vectors[text] ?? [1, 1]).buffer).toString('base64');
    return { request_id: request.request_id, status: 'ok', output: { type: 'embedding', embeddings: [{ index: 0, vector }] }, route: { backend: 'test', model: this.model } } as unknown as ModelResponse;
  }
}

function setUp(tenant: Pick<Tenant, 'quotas'> | null = {}): { memory: Memory; port: MemoryPort; model: ScriptedEmbedder } {
  const [port, model] = [new MemoryMemory(), new ScriptedEmbedder()];
  return { port, model, memory: createMemory({ memory: port, model, directory: { getTenant: async () => tenant }, quotaDefaults: QUOTAS, embeddingModelRef: 'tier:test' }) };
}

describe('writing', () => {
  it('asks for a vector only when told to, of the text or of what the value says', async () => {
    const { memory, model } = setUp();
    expect((await memory.put(AUTH, { namespace: 'n', key: 'a', value: 'plain' })).embedded).toBe(false);
    expect(model.calls).toHaveLength(0);
    const signal = new AbortController().signal;
    expect((await memory.put(AUTH, { namespace: 'n', key: 'b', value: { note: 'said', n: 4 }, embed: true }, { signal, correlationId: 'corr_1', traceparent: 'tp' })).embedded).toBe(true);
    await memory.put(AUTH, { namespace: 'n', key: 'c', value: 'x', text: 'other words', embed: true });
    expect(model.calls.map(({ request }) => [request.operation, request.model_ref, request.input])).toEqual([
      ['embed', 'tier:test', { texts: ['said 4'], encoding_format: 'base64' }],
      ['embed', 'tier:test', { texts: ['other words'], encoding_format: 'base64' }],
    ]);
    expect(model.calls[0]!.options).toMatchObject({ signal, correlationId: 'corr_1', traceparent: 'tp' });
    expect(model.calls[1]!.options.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  });

  it('stores nothing when the vector cannot be had', async () => {
    const { memory, model } = setUp();
    for (const [fail, code] of [['not_found', 'dependency_unavailable'], ['timeout', 'dependency_unavailable'], ['dependency_unavailable', 'dependency_unavailable'], ['policy_blocked', 'policy_blocked']] as const) {
      model.fail = fail;
      await expect(memory.put(AUTH, { namespace: 'n', key: 'k', value: 'x', embed: true })).rejects.toMatchObject({ code });
    }
    expect(await memory.get(AUTH, 'n', 'k')).toBeNull();
  });

  it('holds to the quota of the tenant, or to that of the node', async () => {
    for (const [tenant, limit] of [[{}, 1_000], [null, 1_000], [{ quotas: { storage: { max_memory_bytes: 200 } } }, 200], [{ quotas: { storage: { max_memory_bytes: 0 } } }, 0]] as const) {
      const { memory } = setUp(tenant);
      expect((await memory.usage(AUTH)).bytesLimit).toBe(limit);
      await expect(memory.put(AUTH, { namespace: 'n', key: 'k', value: 'x'.repeat(limit) })).rejects.toMatchObject({ code: 'quota_exceeded', retryable: false, details: { limit, used: 0, requested: limit + 5 } });
    }
  });
});

describe('searching', () => {
  async function filled() {
    const parts = setUp();
    parts.model.vectors = { 'red apple': [1, 0], 'green pear': [0, 1], 'apple tree': [1, 1], fruit: [1, 0] };
    await parts.memory.put(AUTH, { namespace: 'n', key: '1', value: 'red apple', embed: true });
    await parts.memory.put(AUTH, { namespace: 'n', key: '2', value: 'green pear', embed: true });
    await parts.memory.put(AUTH, { namespace: 'n', key: '3', value: 'apple tree', embed: true });
    await parts.memory.put(AUTH, { namespace: 'n', key: '4', value: 'fruit fruit' });
    return parts;
  }
  const found = (answer: { mode: string; results: readonly { item: { key: string }; matched: string }[] }) => [answer.mode, answer.results.map(({ item, matched }) => `${item.key} ${matched}`)];

  it('goes by words, by meaning, or by both', async () => {
    const { memory } = await filled();
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'keyword' }))).toEqual(['keyword', ['4 keyword']]);
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'vector', limit: 2 }))).toEqual(['vector', ['1 vector', '3 vector']]);
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'hybrid' }))).toEqual(['hybrid', ['1 vector', '4 keyword', '3 vector', '2 vector']]);
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit' }))[0]).toBe('hybrid');
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'vector', minScore: 0.7 }))).toEqual(['vector', ['1 vector', '3 vector']]);
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'hybrid', limit: 1 }))).toEqual(['hybrid', ['1 vector']]);
  });

  it('asks no model where no vector is', async () => {
    const { memory, model } = setUp();
    await memory.put(AUTH, { namespace: 'n', key: '1', value: 'apple' });
    expect(found(await memory.search(AUTH, 'n', { query: 'apple' }))).toEqual(['keyword', ['1 keyword']]);
    expect(model.calls).toHaveLength(0);
  });

  it('does not find by another model what this one embedded', async () => {
    const { memory, model } = await filled();
    model.model = 'embedder-2';
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit', mode: 'vector' }))).toEqual(['vector', []]);
    expect(found(await memory.search(AUTH, 'n', { query: 'fruit' }))).toEqual(['hybrid', ['4 keyword']]);
  });

  it('falls back to words only when the question leaves the mode open, and only for what passes', async () => {
    const { memory, model } = await filled();
    for (const fail of ['dependency_unavailable', 'not_found', 'rate_limited', 'quota_exceeded'] as const) {
      model.fail = fail;
      expect(found(await memory.search(AUTH, 'n', { query: 'fruit' }))).toEqual(['keyword', ['4 keyword']]);
      await expect(memory.search(AUTH, 'n', { query: 'fruit', mode: 'hybrid' })).rejects.toBeInstanceOf(AgentOsError);
      await expect(memory.search(AUTH, 'n', { query: 'fruit', mode: 'vector' })).rejects.toBeInstanceOf(AgentOsError);
    }
    model.fail = 'policy_blocked';
    await expect(memory.search(AUTH, 'n', { query: 'fruit' })).rejects.toMatchObject({ code: 'policy_blocked' });
  });
});

describe('reciprocal rank fusion', () => {
  const match = (key: string): MemoryMatch => ({ namespace: 'n', key, value: null, metadata: {}, bytes: 1, createdAt: '', updatedAt: '', expiresAt: null, embedded: true, score: 0.5 });

  it('adds 1/(60 + rank) for each answer that has the item; ties go by key', () => {
    const fused = fuse([match('a'), match('b')], [match('b'), match('c'), match('d')]);
    expect(fused.map(({ item, score, matched }) => [item.key, score, matched])).toEqual([
      ['b', 0.032522, 'both'], ['a', 0.016393, 'keyword'], ['c', 0.016129, 'vector'], ['d', 0.015873, 'vector'],
    ]);
    expect(fuse([match('z')], [match('é')]).map(({ item }) => item.key)).toEqual(['z', 'é']);
    expect(fuse([match('x')], [match('a')]).map(({ item }) => item.key)).toEqual(['a', 'x']);
  });
});

describe('the words of an item', () => {
  it('are what its value says, whatever its depth', () => {
    expect(textOfJson(JSON.stringify({ name: 'a "b" \\ c:', list: [1, -2.5e3, true, null, ['d\n']], 'e': {} }))).toBe('a "b" \\ c: 1 -2500 d\n');
    expect(textOfJson(`${'['.repeat(30_000)}"deep"${']'.repeat(30_000)}`)).toBe('deep');
  });

  it('are letters, marks and digits in one form and case, of bounded length', () => {
    expect(wordsOf('Ünïcode U\u0308N-x_1 ﬁn हिन्दी')).toEqual(['ünïcode', 'ün', 'x', '1', 'fin', 'हिन्दी']);
    expect(wordsOf('a'.repeat(300)).map((word) => word.length)).toEqual([128, 128, 44]);
    expect(wordsOf('… — !')).toEqual([]);
  });
});

describe('the sweeper', () => {
  const log = pino({ level: 'silent' });
  const until = async (holds: () => boolean): Promise<void> => {
    for (let tries = 0; !holds() && tries < 500; tries += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it('removes what has expired in bounded batches, round after round, and ends when told to', async () => {
    let now = 0;
    const port = new MemoryMemory(() => now);
    for (let i = 0; i < 25; i += 1) await port.put(AUTH, { namespace: 'n', key: `k${i}`, value: 1, ttlSeconds: 1 });
    now = 2_000;
    const batches: number[] = [];
    const sweep = async (limit: number): Promise<number> => {
      const swept = await port.sweep(limit);
      batches.push(swept);
      return swept;
    };
    const sweeper = new MemorySweeper({ sweep } as unknown as MemoryPort, log, { intervalMs: 5, batch: 4, batches: 3 });
    sweeper.start();
    await until(() => batches.includes(0));
    await sweeper.stop();
    expect(batches.slice(0, 7)).toEqual([4, 4, 4, 4, 4, 4, 1]);
    const after = batches.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(batches).toHaveLength(after);
  });

  it('goes on after a failure', async () => {
    let calls = 0;
    const sweep = async (): Promise<number> => {
      calls += 1;
      throw new Error('The database is away.');
    };
    const sweeper = new MemorySweeper({ sweep } as unknown as MemoryPort, log, { intervalMs: 2 });
    sweeper.start();
    await until(() => calls >= 3);
    await sweeper.stop();
    expect(calls).toBeGreaterThanOrEqual(3);
  });
});
