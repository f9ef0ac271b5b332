/** Model Policy on PostgreSQL, as it runs: which adapters, from which configuration. */
import path from 'node:path';
import type { Logger } from 'pino';
import { AUDIT_SCHEMA, auditMigrations } from '../platform/audit/audit-migrations.ts';
import { PostgresAudit } from '../platform/audit/audit-postgres.ts';
import { openServiceAudit } from '../platform/audit/configured-audit.ts';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { serviceTokenKey } from '../platform/auth/service-token.ts';
import { SERVICE_VERSION } from '../platform/build-info.ts';
import type { Config } from '../platform/config/load.ts';
import { adminAddress } from '../platform/config/admin-address.ts';
import { requireKnownIdentity, resolveModeRules } from '../platform/config/mode.ts';
import { configuredDatabase } from '../platform/db/configured-database.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase } from '../platform/db/pool.ts';
import { configuredEdge } from '../platform/http/edge/configured-edge.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { rotatingKeys } from '../platform/secrets/signing-keys.ts';
import { openTls } from '../platform/secrets/tls-files.ts';
import { tenantSeriesOf } from '../platform/telemetry/configured-tenants.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { openTracing } from '../platform/telemetry/tracing.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { hasLiveApiKey } from '../platform/tenancy/live-keys.ts';
import { MODEL_POLICY_SCHEMA, modelPolicyMigrations } from './adapters/migrations/index.ts';
import { PostgresCanaryState } from './adapters/canary-state-postgres.ts';
import { PostgresDecisions } from './adapters/decisions-postgres.ts';
import { PostgresPolicyRules } from './adapters/policy-rules-postgres.ts';
import { openCallWriter } from './adapters/usage-open-writer.ts';
import { PostgresUsage } from './adapters/usage-postgres.ts';
import { openBackends } from './backends.ts';
import { Canaries } from './router/canaries.ts';
import { createModelPolicy } from './service.ts';

const DAY_MS = 86_400_000;

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string; readonly adminUrl: string }> {
  const { values } = config;
  const mode = resolveModeRules(config);
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const metrics = createMetrics({ service: 'model-policy', tenants: tenantSeriesOf(values) });
  metrics.traceTo(await openTracing(values, 'model-policy', SERVICE_VERSION, log));
  const signingKeys = rotatingKeys(config, serviceTokenKey);
  const verifiers = configuredVerifiers(values, 'model-policy', { mode: mode.mode, log, metrics, ...(signingKeys === null ? {} : { signingKeys }) });
  const tls = openTls(config, log);
  const edge = configuredEdge(values, mode.mode);
  const separateAdmin = mode.mode === 'prod';
  const named = configuredDatabase(config);
  const url = named.url();
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations, log });
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  await migrate({ url, schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations, log });
  const database = await createDatabase({ ...named, applicationName: 'agentos-model-policy', max: values.AGENTOS_DB_POOL_SIZE, log });
  const backends = await openBackends(values, log, config.secrets);
  await requireKnownIdentity(config, () => hasLiveApiKey(database.pool));
  const directory = new PostgresDirectory(database.pool, { hints: { url: named.url, log } });
  const audit = openServiceAudit('model-policy', config, log, metrics);
  const records = new PostgresAudit(database.pool, audit.trail);
  const { onRefused } = audit.attach(records, directory);
  const identity = createIdentity({
    mode: mode.mode, directory, defaultTenant: mode.defaultTenant, allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const writer = await openCallWriter({
    pool: database.pool, log, commit: values.AGENTOS_LEDGER_COMMIT, folder: values.AGENTOS_JOURNAL_DIR ?? path.join(values.AGENTOS_DATA_DIR, 'journal'), onFlush: metrics.flushesOf('usage'),
    onAudited: (rows, appended) => audit.trail.committedTexts(rows, appended),
  });
  const usage = new PostgresUsage({ pool: database.pool, url: named.url, writer, journalGraceMs: values.AGENTOS_JOURNAL_GRACE_SECONDS * 1_000, log });
  const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: values.AGENTOS_DECISION_RETENTION_DAYS * DAY_MS, writer, trail: audit.trail, log });
  const canaries = new Canaries(new PostgresCanaryState(database.pool), log);
  const server = createModelPolicy({
    backends, directory, identity, log, usage, decisions, canaries, audit: records,
    rules: new PostgresPolicyRules(database.pool, audit.trail),
    metrics,
    checks: { postgres: () => database.ping(), ...verifiers.checks },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    contractCheck: mode.contractCheck,
    http: { edge, separateAdmin, tls, onRefused },
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  // What other processes have rolled back holds from the first call on.
  await canaries.look();
  const port = values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_MODEL_POLICY_PORT;
  const listening = await server.listen(port, values.AGENTOS_HOST);
  const admin = adminAddress(values, port);
  const adminUrl = separateAdmin ? await server.listenAdmin(admin.port, admin.host) : listening;
  log.info({ url: listening, admin_url: adminUrl, mode: mode.mode, backends: backends.providers.map((provider) => provider.backend) }, 'Model Policy listens.');
  return {
    url: listening,
    adminUrl,
    async close() {
      await server.close();
      tls?.close();
      await verifiers.close();
      await backends.close();
      await canaries.close();
      await decisions.close();
      await usage.close();
      await writer.close();
      await audit.close();
      await directory.close();
      await database.close();
      await metrics.tracing?.close();
    },
  };
}
