import { MemoryMemory } from '../../../services/agent-orchestrator/adapters/memory-memory.ts';
import { BuiltinTools } from '../../../services/agent-orchestrator/adapters/tool-builtin.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'tool'> = {
  port: 'tool',
  adapter: 'builtin',
  create: async () => ({ tools: new BuiltinTools(new MemoryMemory()), newTenant: async () => freshTenant(), dispose: async () => {}, ids: { echo: 'tool.echo' } }),
};
export default factory;
