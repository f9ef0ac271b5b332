/** An adapter of ProviderPort over a server that speaks its vendor's wire format. */
import { openProvider, type ProviderKind, type ProviderSettings } from '../../services/model-policy/adapters/open-provider.ts';
import { startVendor, type Vendor } from '../../services/model-policy/fixture/vendor-stub.ts';
import type { ProviderHarness } from './contract.ts';
import { freshTenant } from './fixtures.ts';

const KEY = 'sk-suite-5Hc9wXq2';

/** @param more makes settings of the server's base URL */
export async function providerHarness(kind: ProviderKind, vendor: Vendor, more: (baseUrl: string) => Partial<ProviderSettings> = () => ({})): Promise<ProviderHarness> {
  const server = await startVendor(vendor);
  const provider = openProvider(kind, {
    name: kind, baseUrl: server.baseUrl, apiKey: { kind: 'value', value: KEY }, timeoutMs: 5_000, idleTimeoutMs: 300, ...more(server.baseUrl),
  });
  return {
    provider,
    newTenant: async () => freshTenant(),
    upstream: { set: (mode) => server.setMode(mode), calls: () => server.stub.calls.length, open: () => server.stub.open(), connections: () => server.stub.connections(), key: KEY },
    async dispose() {
      await server.close();
      await provider.close();
    },
  };
}
