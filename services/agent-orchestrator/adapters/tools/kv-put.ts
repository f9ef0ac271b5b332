/** tool.kv.put: keeps a value under a key in the tenant's memory. */
import type { BuiltinTool } from './builtin-tool.ts';
import { KV_KEY_SCHEMA, KV_NAMESPACE_SCHEMA, namespaceOf, reachOf, type KvMemory } from './kv-namespace.ts';

export const kvPutTool = (memory: KvMemory): BuiltinTool => ({
  toolId: 'tool.kv.put',
  name: 'kv_put',
  description: "Stores a JSON value under a key in this tenant's memory, replacing what was there.",
  inputSchema: {
    type: 'object',
    properties: { key: KV_KEY_SCHEMA, value: { description: 'Any JSON value, at most 64 KiB.' }, namespace: KV_NAMESPACE_SCHEMA },
    required: ['key', 'value'],
    additionalProperties: false,
  },
  outputSchema: { type: 'object', properties: { key: { type: 'string' }, stored: { const: true } }, required: ['key', 'stored'] },
  reach: (input) => reachOf('memory_write', input),
  async run(auth, input) {
    const { key, value, namespace } = input as { key: string; value: unknown; namespace?: string };
    await memory.put(auth, { namespace: namespaceOf(namespace), key, value });
    return { key, stored: true };
  },
});
