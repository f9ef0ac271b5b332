import type { PortFactory } from '../contract.ts';
import { tenantToolsUnderTest } from '../tool-upstream.ts';

const factory: PortFactory<'tool'> = {
  port: 'tool',
  adapter: 'webhook',
  async create() {
    const { webhook, newTenant, dispose } = await tenantToolsUnderTest();
    return { tools: webhook, newTenant, dispose, ids: { echo: 'tool.up.echo', slow: 'tool.up.slow', failing: 'tool.up.failing', misfit: 'tool.up.misfit' } };
  },
};
export default factory;
