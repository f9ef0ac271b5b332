/** tool.kv.get: reads a value back from the tenant's memory. */
import type { BuiltinTool } from './builtin-tool.ts';
import { KV_KEY_SCHEMA, KV_NAMESPACE_SCHEMA, namespaceOf, reachOf, type KvMemory } from './kv-namespace.ts';

export const kvGetTool = (memory: KvMemory): BuiltinTool => ({
  toolId: 'tool.kv.get',
  name: 'kv_get',
  description: "Reads the JSON value stored under a key in this tenant's memory; found is false when there is none.",
  inputSchema: {
    type: 'object',
    properties: { key: KV_KEY_SCHEMA, namespace: KV_NAMESPACE_SCHEMA },
    required: ['key'],
    additionalProperties: false,
  },
  outputSchema: { type: 'object', properties: { key: { type: 'string' }, found: { type: 'boolean' }, value: {} }, required: ['key', 'found', 'value'] },
  sideEffects: false,
  reach: (input) => reachOf('memory_read', input),
  async run(auth, input) {
    const { key, namespace } = input as { key: string; namespace?: string };
    const item = await memory.get(auth, namespaceOf(namespace), key);
    return { key, found: item !== null, value: item?.value ?? null };
  },
});
