/**
 * What a node begins with: the demo tenant, its administrators and agents (Appendix H), and in dev the API keys that
 * stand in for them. Repeating it changes nothing. Prod is not seeded: its tenants are made on purpose.
 */
import { existsSync, writeFileSync } from 'node:fs';
import type { DirectoryPort } from '../../services/platform/tenancy/directory.ts';
import { apiKeyFile, scopesOf, type Role } from './identity.ts';
import { writeSeeded } from './seeded.ts';
import type { Settings } from './settings.ts';

export async function seedNode(settings: Settings, databaseUrl: string, tell: (detail: string) => void): Promise<string> {
  if (settings.mode === 'prod') return 'nothing is seeded in prod: npx agentos tenants create makes tenants';
  const [{ createDatabase }, { PostgresDirectory }, { PostgresAgents }, seed] = await Promise.all([
    import('../../services/platform/db/pool.ts'),
    import('../../services/platform/tenancy/directory-postgres.ts'),
    import('../../services/agent-orchestrator/adapters/agents-postgres.ts'),
    import('../../services/agent-orchestrator/seed.ts'),
  ]);
  const database = await createDatabase({ url: databaseUrl, applicationName: 'agentos-seed', max: 2 });
  try {
    const directory = new PostgresDirectory(database.pool);
    const seeded = await seed.seedNode(directory, new PostgresAgents(database.pool));
    writeSeeded(settings.home, seeded);
    tell(`tenant ${seeded.default_tenant_id}, ${seeded.sample_agent_ids.length} agents`);
    const keys = settings.mode === 'dev' ? await ensureKeys(settings, directory) : 0;
    return `tenant ${seeded.default_tenant_id}, agents ${seeded.sample_agent_ids.join(', ')}${keys === 0 ? '' : `, ${keys} API keys made`}`;
  } finally {
    await database.close();
  }
}

/** Makes the keys that are not there. Only their hashes are stored; each secret goes to one file and nowhere else. */
async function ensureKeys(settings: Settings, directory: DirectoryPort): Promise<number> {
  const [{ createApiKey }, { SEED_AUTH, SEED_PLATFORM_ADMIN, SEED_TENANT_ADMIN, SEED_TENANT_ID }] = await Promise.all([import('../../services/platform/auth/api-key.ts'), import('../../services/agent-orchestrator/seed.ts')]);
  const grants: ReadonlyArray<readonly [Role, string, readonly string[], readonly string[]]> = [
    ['tenant', SEED_TENANT_ADMIN, scopesOf('tenant'), ['tenant_admin']],
    ['platform', SEED_PLATFORM_ADMIN, scopesOf('platform'), ['platform_admin']],
  ];
  let made = 0;
  for (const [role, principalId, scopes, roles] of grants) {
    const file = apiKeyFile(settings.home, role);
    if (existsSync(file) && (await isKnown(directory, file))) continue;
    const key = createApiKey({ tenantId: SEED_TENANT_ID, principalId, principalType: 'user', scopes, roles });
    await directory.putApiKey(SEED_AUTH, key.record);
    writeFileSync(file, `${key.secret}\n`, { mode: 0o600 });
    made += 1;
  }
  return made;
}

/** False for a key left over from a database that is gone. */
async function isKnown(directory: DirectoryPort, file: string): Promise<boolean> {
  const [{ readFileSync }, { isValidApiKey, parseApiKey }] = await Promise.all([import('node:fs'), import('../../services/platform/auth/api-key.ts')]);
  const parsed = parseApiKey(readFileSync(file, 'utf8').trim());
  const record = parsed === null ? null : await directory.getApiKey(parsed.keyId);
  return parsed !== null && record !== null && isValidApiKey(record, parsed.secret, Date.now());
}
