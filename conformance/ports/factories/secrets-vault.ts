import { VaultSecrets } from '../../../services/platform/secrets/secrets-vault.ts';
import type { KeeperMode, PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';
import { startVault, type VaultFault } from '../vault-stub.ts';

const FAULTS: Readonly<Record<KeeperMode, VaultFault>> = { answers: null, forbids: 'forbidden', away: 'sealed', 'rate-limited': 'rate-limited', babbles: 'garbage', silent: 'silent' };

const factory: PortFactory<'secrets'> = {
  port: 'secrets',
  adapter: 'vault',
  async create() {
    const vault = await startVault();
    const gate = await startStoreGate(vault.url);
    const secrets = new VaultSecrets({ address: new URL(gate.url).origin, auth: { kind: 'token', token: () => vault.token }, timeoutMs: 1_000, retryMs: 10 });
    return {
      secrets,
      outage: outageOf(gate),
      async put(id, value) {
        vault.put('secret', `agentos/${id}`, { value });
        return `secret/agentos/${id}#value`;
      },
      remove: async (id) => vault.remove('secret', `agentos/${id}`),
      setKeeper: async (mode) => vault.fault(FAULTS[mode]),
      newTenant: async () => freshTenant('secrets'),
      async dispose() {
        await secrets.close();
        await gate.close();
        await vault.close();
      },
    };
  },
};
export default factory;
