import { describe, expect, it } from 'vitest';
import { testDatabase } from '../../conformance/harness/database.ts';
import { MODEL_POLICY_SCHEMA, modelPolicyMigrations } from '../../services/model-policy/adapters/migrations/index.ts';
import { DIRECTORY_SCHEMA, directoryMigrations } from '../../services/platform/tenancy/directory-migrations.ts';
import { EXIT } from './errors.ts';
import { requireAllKept, takeInventory } from './inventory.ts';

describe('what tenants have', () => {
  it('is counted over all tenants, also where a table is not there yet', async () => {
    const database = await testDatabase({ migrations: [{ schema: DIRECTORY_SCHEMA, migrations: directoryMigrations }, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    try {
      // As a role that row-level security binds.
      const url = `${database.url}?options=${encodeURIComponent('-c role=agentos_app')}`;
      const before = await takeInventory(url);
      expect(before).toMatchObject({ tenants: 0, agents: 0, 'audit records': 0 });
      await database.asSuperuser((client) => client.query("INSERT INTO directory.tenants (tenant_id, name, plan_tier, status) VALUES ('tnt_a', 'A', 'standard', 'active'), ('tnt_b', 'B', 'standard', 'active')"));
      expect(await takeInventory(url)).toMatchObject({ tenants: 2 });
    } finally {
      await database.drop();
    }
  });

  it('may grow and may not shrink', () => {
    expect(requireAllKept({ tenants: 1, keys: 0 }, { tenants: 2, keys: 0 })).toBe('2 tenants');
    const shrunk = () => requireAllKept({ tenants: 3, agents: 5 }, { tenants: 3, agents: 4 });
    expect(shrunk).toThrow(expect.objectContaining({ exitCode: EXIT.gate, evidence: ['agents: 5 before, 4 now'] }) as Error);
  });
});
