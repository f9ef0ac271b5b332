import { MemoryMemory } from '../../../services/agent-orchestrator/adapters/memory-memory.ts';
import { BuiltinTools } from '../../../services/agent-orchestrator/adapters/tool-builtin.ts';
import { CompositeTools } from '../../../services/agent-orchestrator/adapters/tool-composite.ts';
import type { PortFactory } from '../contract.ts';
import { tenantToolsUnderTest } from '../tool-upstream.ts';

const factory: PortFactory<'tool'> = {
  port: 'tool',
  adapter: 'composite',
  async create() {
    const { webhook, mcp, tenantTools, newTenant, dispose } = await tenantToolsUnderTest();
    const tools = new CompositeTools({ builtin: new BuiltinTools(new MemoryMemory()), webhook, mcp, tenantTools, callsPerMinute: async () => 10_000 });
    return { tools, newTenant, dispose, ids: { echo: 'tool.mcp.up.echo', slow: 'tool.up.slow', failing: 'tool.mcp.up.failing', misfit: 'tool.up.misfit' } };
  },
};
export default factory;
