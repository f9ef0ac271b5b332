/** Model Policy on PostgreSQL, as it runs: which adapters, from which configuration. */
import type { Logger } from 'pino';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { resolveModeRules } from '../platform/config/mode.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase } from '../platform/db/pool.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { MODEL_POLICY_SCHEMA, modelPolicyMigrations } from './adapters/migrations/index.ts';
import { PostgresCanaryState } from './adapters/canary-state-postgres.ts';
import { PostgresDecisions } from './adapters/decisions-postgres.ts';
import { PostgresPolicyRules } from './adapters/policy-rules-postgres.ts';
import { PostgresUsage } from './adapters/usage-postgres.ts';
import { openBackends } from './backends.ts';
import { Canaries } from './router/canaries.ts';
import { createModelPolicy } from './service.ts';

const DAY_MS = 86_400_000;

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string }> {
  const { values } = config;
  const mode = resolveModeRules(config);
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const verifiers = configuredVerifiers(values, 'model-policy');
  const url = values.DATABASE_URL;
  if (url === undefined) throw new ConfigError('DATABASE_URL', 'DATABASE_URL is not set. `agentos up` starts PostgreSQL and sets it; or name a server: postgres://user:password@host:5432/database.');
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  await migrate({ url, schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations, log });
  const database = await createDatabase({ url, applicationName: 'agentos-model-policy', max: values.AGENTOS_DB_POOL_SIZE, log });
  const backends = await openBackends(values, log, config.secretFiles);
  const directory = new PostgresDirectory(database.pool);
  const identity = createIdentity({
    mode: mode.mode, directory, defaultTenant: mode.defaultTenant, allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const usage = new PostgresUsage({ pool: database.pool, url, log });
  const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: values.AGENTOS_DECISION_RETENTION_DAYS * DAY_MS, log });
  const canaries = new Canaries(new PostgresCanaryState(database.pool), log);
  const server = createModelPolicy({
    backends, directory, identity, log, usage, decisions, canaries,
    rules: new PostgresPolicyRules(database.pool),
    metrics: createMetrics({ service: 'model-policy' }),
    checks: { postgres: () => database.ping() },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    contractCheck: mode.contractCheck,
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  // What other processes have rolled back holds from the first call on.
  await canaries.look();
  const listening = await server.listen(values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_MODEL_POLICY_PORT, values.AGENTOS_HOST);
  log.info({ url: listening, mode: mode.mode, backends: backends.providers.map((provider) => provider.backend) }, 'Model Policy listens.');
  return {
    url: listening,
    async close() {
      await server.close();
      await backends.close();
      await canaries.close();
      await decisions.close();
      await usage.close();
      await database.close();
    },
  };
}
