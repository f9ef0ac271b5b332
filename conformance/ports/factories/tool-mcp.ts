import type { PortFactory } from '../contract.ts';
import { tenantToolsUnderTest } from '../tool-upstream.ts';

const factory: PortFactory<'tool'> = {
  port: 'tool',
  adapter: 'mcp',
  async create() {
    const { mcp, newTenant, dispose } = await tenantToolsUnderTest();
    return { tools: mcp, newTenant, dispose, ids: { echo: 'tool.mcp.up.echo', slow: 'tool.mcp.up.slow', failing: 'tool.mcp.up.failing', misfit: 'tool.mcp.up.misfit' } };
  },
};
export default factory;
