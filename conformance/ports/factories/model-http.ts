import { HttpModel } from '../../../services/agent-orchestrator/adapters/model-http.ts';
import { authOf, startModelPolicy } from '../../../services/model-policy/fixture/running-model-policy.ts';
import { startFaultyProxy } from '../../harness/faulty-proxy.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

/** A real Model Policy with its built-in model stands behind the adapter; only the way to it is made to fail. */
const factory: PortFactory<'model'> = {
  port: 'model',
  adapter: 'http',
  async create() {
    const modelPolicy = await startModelPolicy();
    const proxy = await startFaultyProxy(modelPolicy.url);
    const model = new HttpModel({
      baseUrl: proxy.url,
      credentials: async (auth) => ({ 'x-tenant-id': auth.tenant_id, 'x-principal-id': auth.principal.principal_id, 'x-scopes': auth.scopes.join(' ') }),
    });
    return {
      model,
      setUpstream: async (mode) => proxy.setMode(mode),
      async newTenant() {
        const tenant = freshTenant();
        await modelPolicy.directory.createTenant(authOf(tenant.tenant_id), { tenant_id: tenant.tenant_id });
        return tenant;
      },
      async dispose() {
        await model.close();
        await proxy.close();
        await modelPolicy.close();
      },
    };
  },
};
export default factory;
