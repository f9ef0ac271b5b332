/** tool.memory.search: finds items of the tenant's memory by words, by meaning, or both. */
import type { Memory, MemoryQuestion, SearchMode } from '../../memory/memory.ts';
import type { MemoryFilter } from '../../ports/memory.ts';
import type { BuiltinTool } from './builtin-tool.ts';
import { namespaceOf } from './kv-namespace.ts';

const MAX_RESULTS = 25;
/** All values together, as JSON: the answer goes into a prompt. */
const MAX_BYTES = 64 * 1024;

interface Input {
  readonly query: string;
  readonly namespace?: string;
  readonly mode?: SearchMode;
  readonly limit?: number;
  readonly filter?: MemoryFilter;
}

const SCALAR = { type: ['string', 'number', 'boolean'] };

export const memorySearchTool = (memory: Pick<Memory, 'search'>): BuiltinTool => ({
  toolId: 'tool.memory.search',
  name: 'memory_search',
  description: "Searches this tenant's memory and returns the best matching items with their keys and values.",
  inputSchema: {
    type: 'object',
    properties: {
      query: { type: 'string', minLength: 1, maxLength: 8_192, description: 'What to look for.' },
      namespace: { type: 'string', minLength: 1, maxLength: 256, description: 'The namespace; what kv_put stored without one when absent (kv:default).' },
      mode: { enum: ['keyword', 'vector', 'hybrid'], description: 'By words, by meaning, or both; chosen by what the namespace holds when absent.' },
      limit: { type: 'integer', minimum: 1, maximum: MAX_RESULTS, description: 'How many at most; 5 when absent.' },
      filter: { type: 'object', maxProperties: 16, additionalProperties: { anyOf: [SCALAR, { type: 'array', maxItems: 32, items: SCALAR }] }, description: 'Metadata that the items must have.' },
    },
    required: ['query'],
    additionalProperties: false,
  },
  outputSchema: {
    type: 'object',
    properties: { mode: { type: 'string' }, results: { type: 'array', items: { type: 'object', required: ['key', 'value', 'score'] } }, truncated: { type: 'boolean' } },
    required: ['mode', 'results', 'truncated'],
  },
  sideEffects: false,
  reach(input) {
    const namespace = (input as { namespace?: unknown } | null)?.namespace;
    return [{ kind: 'memory_read', name: typeof namespace === 'string' ? namespace : namespaceOf(undefined) }];
  },
  async run(auth, input, signal, invocation) {
    const { query, namespace, mode, limit, filter } = input as Input;
    const question: MemoryQuestion = { query, limit: limit ?? 5, ...(mode === undefined ? {} : { mode }), ...(filter === undefined ? {} : { filter }) };
    const call = invocation === undefined ? { signal } : { signal, traceparent: invocation.traceparent, timeoutMs: invocation.timeoutMs, ...(invocation.run === undefined ? {} : { correlationId: invocation.run.correlationId }) };
    const found = await memory.search(auth, namespace ?? namespaceOf(undefined), question, call);
    const results: unknown[] = [];
    let bytes = 0;
    for (const { item, score, matched } of found.results) {
      const result = { key: item.key, value: item.value, metadata: item.metadata, score, matched, updated_at: item.updatedAt };
      bytes += Buffer.byteLength(JSON.stringify(result));
      if (bytes > MAX_BYTES) return { mode: found.mode, results, truncated: true };
      results.push(result);
    }
    return { mode: found.mode, results, truncated: false };
  },
});
