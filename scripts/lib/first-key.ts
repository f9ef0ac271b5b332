/**
 * The first credential of a node in prod that has no issuer: without it nobody could be recognised, and the services
 * would not start. It belongs to the operator of the platform, lies in a file that its owner alone reads, and is made
 * once; an expired or revoked one is not replaced unless nobody else has a key either.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { hasIssuer } from '../../services/platform/config/unsafe-settings.ts';
import { apiKeyFile } from './identity.ts';
import type { Settings } from './settings.ts';

const PLATFORM_TENANT = 'tnt_platform';

/** Answers what was made, for people; null when somebody can be recognised already. */
export async function ensureFirstKey(settings: Settings, databaseUrl: string): Promise<string | null> {
  if (settings.mode !== 'prod' || hasIssuer(settings.config)) return null;
  const [{ createDatabase }, { migrate }, { directoryMigrations, DIRECTORY_SCHEMA }, { hasLiveApiKey }] = await Promise.all([
    import('../../services/platform/db/pool.ts'), import('../../services/platform/db/migrate.ts'), import('../../services/platform/tenancy/directory-migrations.ts'), import('../../services/platform/tenancy/live-keys.ts'),
  ]);
  await migrate({ url: databaseUrl, schema: DIRECTORY_SCHEMA, migrations: directoryMigrations });
  const database = await createDatabase({ url: databaseUrl, applicationName: 'agentos-first-key', max: 1 });
  try {
    if (await hasLiveApiKey(database.pool)) return null;
    return await makeKey(settings, database.pool);
  } finally {
    await database.close();
  }
}

async function makeKey(settings: Settings, pool: import('pg').Pool): Promise<string> {
  const [{ createApiKey }, { PostgresDirectory }, { SEED_PLATFORM_ADMIN }] = await Promise.all([
    import('../../services/platform/auth/api-key.ts'), import('../../services/platform/tenancy/directory-postgres.ts'), import('../../services/agent-orchestrator/seed.ts'),
  ]);
  const auth = { tenant_id: PLATFORM_TENANT, principal: { principal_id: SEED_PLATFORM_ADMIN, principal_type: 'user' as const }, scopes: ['tenants:admin'], roles: ['platform_operator'] };
  const directory = new PostgresDirectory(pool);
  if ((await directory.getTenant(auth, PLATFORM_TENANT)) === null) await directory.createTenant(auth, { tenant_id: PLATFORM_TENANT, name: 'The operators of this platform' });
  await directory.putPrincipal(auth, { tenantId: PLATFORM_TENANT, principalId: SEED_PLATFORM_ADMIN, principalType: 'user', displayName: 'Platform operator', roles: ['platform_operator'] });
  const key = createApiKey({ tenantId: PLATFORM_TENANT, principalId: SEED_PLATFORM_ADMIN, principalType: 'user', scopes: [], roles: ['platform_operator'], expiresAt: null });
  const file = apiKeyFile(settings.home, 'platform');
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${key.secret}\n`, { mode: 0o600 });
  await directory.putApiKey(auth, key.record);
  return `the first operator key is in ${file}`;
}
