/** A database of a suite's own behind a gate that can be shut, and a pool on it as a service has one. */
import { createDatabase, type Database, type DatabaseOptions } from '../../services/platform/db/pool.ts';
import { testDatabase, type MigrationSet, type TestDatabase } from '../harness/database.ts';
import type { StoreOutage } from './contract.ts';
import { outageOf, startStoreGate } from './store-gate.ts';

export interface GatedDatabase {
  readonly database: Database;
  readonly test: TestDatabase;
  readonly outage: StoreOutage;
  dispose(): Promise<void>;
}

export async function gatedDatabase(migrations: readonly MigrationSet[], options: Partial<DatabaseOptions> = {}): Promise<GatedDatabase> {
  const test = await testDatabase({ migrations });
  const gate = await startStoreGate(test.url);
  const database = await createDatabase({ url: gate.url, applicationName: 'suite', ...options });
  return {
    database,
    test,
    outage: outageOf(gate),
    async dispose() {
      await database.close();
      await gate.close();
      await test.drop();
    },
  };
}
