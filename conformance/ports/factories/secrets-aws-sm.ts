import { AwsSecrets } from '../../../services/platform/secrets/secrets-aws-sm.ts';
import { startSecretsManager, type SecretsManagerFault } from '../aws-secrets-stub.ts';
import type { KeeperMode, PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const FAULTS: Readonly<Record<KeeperMode, SecretsManagerFault>> = { answers: null, forbids: 'AccessDeniedException', away: 'InternalServiceError', 'rate-limited': 'ThrottlingException', babbles: 'garbage', silent: 'silent' };

const factory: PortFactory<'secrets'> = {
  port: 'secrets',
  adapter: 'aws-sm',
  async create() {
    const manager = await startSecretsManager();
    const gate = await startStoreGate(manager.url);
    const secrets = new AwsSecrets({ region: 'eu-west-1', endpoint: new URL(gate.url).origin, credentials: manager.credentials, timeoutMs: 2_000, maxAttempts: 2 });
    return {
      secrets,
      outage: outageOf(gate),
      async put(id, value) {
        manager.put(`agentos/${id}`, JSON.stringify({ value }));
        return `agentos/${id}#value`;
      },
      remove: async (id) => manager.remove(`agentos/${id}`),
      setKeeper: async (mode) => manager.fault(FAULTS[mode]),
      newTenant: async () => freshTenant('secrets'),
      async dispose() {
        await secrets.close();
        await gate.close();
        await manager.close();
      },
    };
  },
};
export default factory;
