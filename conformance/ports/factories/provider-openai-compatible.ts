import { OpenAiCompatibleProvider } from '../../../services/model-policy/adapters/provider-openai-compatible.ts';
import { startOpenAiServer } from '../../harness/openai-server.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'provider'> = {
  port: 'provider',
  adapter: 'openai-compatible',
  async create() {
    const server = await startOpenAiServer();
    const provider = new OpenAiCompatibleProvider({ backend: 'openai', baseUrl: server.url, apiKey: 'sk-suite', timeoutMs: 5_000 });
    return {
      provider,
      newTenant: async () => freshTenant(),
      setUpstream: async (mode) => server.setMode(mode),
      async dispose() {
        await provider.close();
        await server.close();
      },
    };
  },
};
export default factory;
