/** tool.kv.get: reads a value back from the tenant's memory. */
import type { MemoryPort } from '../../ports/memory.ts';
import type { BuiltinTool } from './builtin-tool.ts';
import { KV_KEY_SCHEMA, KV_NAMESPACE_SCHEMA, namespaceOf } from './kv-namespace.ts';

export const kvGetTool = (memory: MemoryPort): BuiltinTool => ({
  toolId: 'tool.kv.get',
  name: 'kv_get',
  description: "Reads the JSON value stored under a key in this tenant's memory; found is false when there is none.",
  inputSchema: {
    type: 'object',
    properties: { key: KV_KEY_SCHEMA, namespace: KV_NAMESPACE_SCHEMA },
    required: ['key'],
    additionalProperties: false,
  },
  async run(auth, input) {
    const { key, namespace } = input as { key: string; namespace?: string };
    const item = await memory.get(auth, namespaceOf(namespace), key);
    return { key, found: item !== null, value: item?.value ?? null };
  },
});
