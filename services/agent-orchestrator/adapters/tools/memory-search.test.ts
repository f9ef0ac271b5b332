import { describe, expect, it } from 'vitest';
import { contextOf, rejection } from '../../../../conformance/ports/fixtures.ts';
import { AgentOsError } from '../../../platform/errors.ts';
import { createMemory } from '../../memory/memory.ts';
import { MemoryMemory } from '../memory-memory.ts';
import { BuiltinTools } from '../tool-builtin.ts';
import { memorySearchTool } from './memory-search.ts';

const ONE = contextOf('tnt_one');
const OTHER = contextOf('tnt_other');
const memory = createMemory({
  memory: new MemoryMemory(),
  model: { embed: async () => Promise.reject(new AgentOsError('dependency_unavailable', { message: 'No vectors here.' })) },
  directory: { getTenant: async () => null },
  quotaDefaults: { AGENTOS_QUOTA_RUN_CREATE_QPS: 1, AGENTOS_QUOTA_CONCURRENT_RUNS: 1, AGENTOS_QUOTA_INVOKE_QPS: 1, AGENTOS_MEMORY_BYTES_LIMIT: 1_000_000 },
});
const tools = new BuiltinTools(memory, [memorySearchTool(memory)]);

type Output = { mode: string; results: { key: string; value: unknown; score: number }[]; truncated: boolean };

const invoke = (toolId: string, input: unknown, auth = ONE): Promise<unknown> =>
  tools.invoke(auth, { toolId, input, toolCallId: 'tcall_one', timeoutMs: 5_000, signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
const search = (input: unknown, auth = ONE): Promise<Output> => invoke('tool.memory.search', input, auth) as Promise<Output>;

describe('tool.memory.search', () => {
  it('finds what kv.put stored, until kv.delete', async () => {
    for (const [key, value] of [['a', 'the battery lasts long'], ['b', 'battery battery'], ['c', 'a fine screen']] as const) await invoke('tool.kv.put', { key, value });
    const found = await search({ query: 'Battery' });
    expect([found.mode, found.truncated, found.results.map(({ key }) => key).sort()]).toEqual(['keyword', false, ['a', 'b']]);
    expect((await search({ query: 'battery', limit: 1 })).results).toHaveLength(1);
    for (let time = 0; time < 2; time += 1) expect(await invoke('tool.kv.delete', { key: 'b' }), 'the same answer when repeated').toEqual({ key: 'b', deleted: true });
    expect((await search({ query: 'battery' })).results.map(({ key }) => key)).toEqual(['a']);
  });

  it('searches the namespace that is named, by metadata, for its own tenant', async () => {
    await memory.put(ONE, { namespace: 'notes', key: 'n1', value: 'red apples', metadata: { lang: 'en' } });
    await memory.put(ONE, { namespace: 'notes', key: 'n2', value: 'green apples', metadata: { lang: 'fr' } });
    expect((await search({ query: 'apples', namespace: 'notes', filter: { lang: 'fr' } })).results.map(({ key }) => key)).toEqual(['n2']);
    expect((await search({ query: 'apples' })).results).toEqual([]);
    expect((await search({ query: 'apples', namespace: 'notes' }, OTHER)).results).toEqual([]);
  });

  it('leaves out what would not fit into a prompt', async () => {
    for (let index = 0; index < 4; index += 1) await memory.put(ONE, { namespace: 'long', key: `k${index}`, value: `word ${'x'.repeat(30_000)}` });
    const found = await search({ query: 'word', namespace: 'long', limit: 4 });
    expect([found.results.length, found.truncated]).toEqual([2, true]);
  });

  it('says what it reaches and what does not work', async () => {
    const descriptor = (await tools.list(ONE)).find(({ toolId }) => toolId === 'tool.memory.search')!;
    expect(descriptor.reach!({ query: 'x' })).toEqual([{ kind: 'memory_read', name: 'kv:default' }]);
    expect(descriptor.reach!({ query: 'x', namespace: 'notes' })).toEqual([{ kind: 'memory_read', name: 'notes' }]);
    expect((await rejection(search({ query: 'x', mode: 'vector' }))).code).toBe('dependency_unavailable');
    expect((await rejection(search({ query: '', limit: 1_000 }))).code).toBe('invalid_request');
  });
});
