/** What the checks of `mutant-checks.ts` look at, as one module, so that a build can carry a mutant of any part of it. */
import { PostgresEvents } from '../../services/agent-orchestrator/adapters/events-postgres.ts';
import { migrations, SCHEMA } from '../../services/agent-orchestrator/adapters/migrations/index.ts';
import { PostgresWake } from '../../services/agent-orchestrator/adapters/postgres-wake.ts';
import { PostgresQueue } from '../../services/agent-orchestrator/adapters/queue-postgres.ts';
import { PostgresRunState } from '../../services/agent-orchestrator/adapters/run-state-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../services/model-policy/adapters/migrations/index.ts';
import { PostgresUsage } from '../../services/model-policy/adapters/usage-postgres.ts';
import type { UsagePort } from '../../services/model-policy/ports/usage.ts';
import { PostgresAssertionUses } from '../../services/federation/adapters/assertion-uses-postgres.ts';
import { federationMigrations, FEDERATION_SCHEMA } from '../../services/federation/adapters/migrations/index.ts';
import type { AssertionUsesPort } from '../../services/federation/ports/assertion-uses.ts';
import { auditMigrations, AUDIT_SCHEMA } from '../../services/platform/audit/audit-migrations.ts';
import { migrate } from '../../services/platform/db/migrate.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import type { RunStores } from '../ports/contract.ts';

export { createPeerIdentity } from '../../services/federation/trust/peer-identity.ts';
export { createIdentity } from '../../services/platform/auth/identity.ts';
export { createApiKey } from '../../services/platform/auth/api-key.ts';
export { createJwtVerifier } from '../../services/platform/auth/jwt-verifier.ts';
export { createServiceTokenVerifier, issueServiceToken } from '../../services/platform/auth/service-token.ts';
export { OPEN_EDGE } from '../../services/platform/http/edge/edge.ts';
export { createEdgeLimits } from '../../services/platform/http/edge/limits.ts';
export { parseTrustedProxies } from '../../services/platform/http/edge/trusted-proxy.ts';
export { startItemService } from '../../services/platform/http/fixture/item-service.ts';
export { writeEventStream } from '../../services/platform/http/sse.ts';

export type StoresUnderTest = RunStores & { close(): Promise<void> };

export async function migrateStores(url: string): Promise<void> {
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations });
  await migrate({ url, schema: SCHEMA, migrations });
  await migrate({ url, schema: FEDERATION_SCHEMA, migrations: federationMigrations });
  await migrate({ url, schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations });
}

/** Where a process notes which assertions of peers were used. */
export async function openAssertionUses(url: string): Promise<AssertionUsesPort & { close(): Promise<void> }> {
  const database = await createDatabase({ url, applicationName: 'mutants', max: 2 });
  const uses = new PostgresAssertionUses(database.pool);
  return {
    capabilities: () => uses.capabilities(),
    use: (use) => uses.use(use),
    async close() {
      await uses.close();
      await database.close();
    },
  };
}

/** @param role null connects as the owner, whom row-level security does not hold. */
export async function openStores(url: string, role?: null): Promise<StoresUnderTest> {
  const database = await createDatabase({ url, applicationName: 'mutants', max: 4, keyedStatements: true, ...(role === undefined ? {} : { role }) });
  const wake = new PostgresWake({ pool: database.pool, url, listen: false });
  const runState = new PostgresRunState(database.pool);
  return {
    runState,
    queue: new PostgresQueue(database.pool, wake),
    events: new PostgresEvents(database.pool, wake),
    async close() {
      await runState.close();
      await wake.close();
      await database.close();
    },
  };
}

/** Budgets and ledger without a journal: what is settled is in the database before the caller is answered. */
export async function openUsage(url: string): Promise<{ readonly usage: UsagePort; close(): Promise<void> }> {
  const database = await createDatabase({ url, applicationName: 'mutants', max: 4 });
  const usage = new PostgresUsage({ pool: database.pool, url });
  return {
    usage,
    async close() {
      await usage.close();
      await database.close();
    },
  };
}
