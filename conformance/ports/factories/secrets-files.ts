import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSecrets } from '../../../services/platform/secrets/secrets-files.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'secrets'> = {
  port: 'secrets',
  adapter: 'files',
  async create() {
    const folder = await mkdtemp(join(tmpdir(), 'agentos-secrets-'));
    const secrets = new FileSecrets();
    return {
      secrets,
      async put(id, value) {
        await writeFile(join(folder, id), `${value}\n`, { mode: 0o600 });
        return join(folder, id);
      },
      remove: (id) => rm(join(folder, id)),
      newTenant: async () => freshTenant('secrets'),
      dispose: () => rm(folder, { recursive: true }),
    };
  },
};
export default factory;
