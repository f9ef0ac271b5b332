/**
 * The same adapter with the mistake that matters most: it looks items up by namespace and key alone, so every tenant
 * reads what any tenant wrote. The suite must find it.
 *
 *     npx agentos conformance --port memory --adapter examples/custom-adapter/broken-twin.ts    # exits with 1
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExternalFactory } from '../../conformance/ports/external-adapter.ts';
import type { MemoryPort } from '../../services/agent-orchestrator/ports/memory.ts';
import { JsonFileMemory } from './json-file-memory.ts';

const factory: ExternalFactory<'memory'> = {
  port: 'memory',
  adapter: 'json-file',
  create(kit) {
    const folder = mkdtempSync(join(tmpdir(), 'broken-twin-'));
    const memory = new JsonFileMemory(join(folder, 'memory.json'), kit);
    const everybody = { ...kit.newTenant(), tenant_id: 'tnt_everybody' };
    const blind = new Proxy(memory, {
      get(target, name) {
        const method = Reflect.get(target, name) as unknown;
        if (typeof method !== 'function') return method;
        return (...args: unknown[]) => (method as (...args: unknown[]) => unknown).apply(target, ['capabilities', 'sweep'].includes(String(name)) ? args : [everybody, ...args.slice(1)]);
      },
    }) as MemoryPort;
    return { memory: blind, dispose: async () => rmSync(folder, { recursive: true, force: true }) };
  },
};
export default factory;
