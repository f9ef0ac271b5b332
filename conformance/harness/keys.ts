/** Credentials for scenarios outside demo mode, put straight into the directory as an operator would have issued them. */
import { createApiKey } from '../../services/platform/auth/api-key.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { SEED_AUTH } from '../../services/agent-orchestrator/seed.ts';

export interface KeyToStore {
  /** `tnt_demo` when absent. */
  readonly tenantId?: string;
  readonly principalId?: string;
  readonly scopes: readonly string[];
  readonly roles?: readonly string[];
  readonly expiresAt?: string | null;
  readonly revokedAt?: string | null;
}

/** Stores keys and answers their secrets, in order. */
export async function storeKeys(databaseUrl: string, keys: readonly KeyToStore[]): Promise<string[]> {
  const database = await createDatabase({ url: databaseUrl, applicationName: 'suite', max: 1 });
  try {
    const directory = new PostgresDirectory(database.pool);
    const secrets: string[] = [];
    for (const { tenantId = 'tnt_demo', principalId = 'svc_suite', scopes, roles = [], expiresAt = null, revokedAt = null } of keys) {
      const made = createApiKey({ tenantId, principalId, principalType: principalId.startsWith('svc_') ? 'service' : 'user', scopes: [...scopes], roles: [...roles], expiresAt });
      await directory.putApiKey(SEED_AUTH, { ...made.record, revokedAt });
      secrets.push(made.secret);
    }
    return secrets;
  } finally {
    await database.close();
  }
}
