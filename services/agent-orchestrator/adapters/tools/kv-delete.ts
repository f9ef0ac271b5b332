/** tool.kv.delete: removes a key from the tenant's memory. */
import type { BuiltinTool } from './builtin-tool.ts';
import { KV_KEY_SCHEMA, KV_NAMESPACE_SCHEMA, namespaceOf, reachOf, type KvMemory } from './kv-namespace.ts';

export const kvDeleteTool = (memory: KvMemory): BuiltinTool => ({
  toolId: 'tool.kv.delete',
  name: 'kv_delete',
  description: "Removes a key and its value from this tenant's memory. It is gone afterwards, whether it was there or not.",
  inputSchema: {
    type: 'object',
    properties: { key: KV_KEY_SCHEMA, namespace: KV_NAMESPACE_SCHEMA },
    required: ['key'],
    additionalProperties: false,
  },
  // Not whether it was there: a repeated call would answer otherwise than the first.
  outputSchema: { type: 'object', properties: { key: { type: 'string' }, deleted: { const: true } }, required: ['key', 'deleted'] },
  reach: (input) => reachOf('memory_write', input),
  async run(auth, input) {
    const { key, namespace } = input as { key: string; namespace?: string };
    await memory.delete(auth, namespaceOf(namespace), key);
    return { key, deleted: true };
  },
});
