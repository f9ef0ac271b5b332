/** Federation on PostgreSQL, as it runs: which adapters, from which configuration. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { AUDIT_SCHEMA, auditMigrations } from '../platform/audit/audit-migrations.ts';
import { PostgresAudit } from '../platform/audit/audit-postgres.ts';
import { openServiceAudit } from '../platform/audit/configured-audit.ts';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { createServiceTokenIssuer, serviceTokenKey } from '../platform/auth/service-token.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { requireKnownIdentity, resolveModeRules } from '../platform/config/mode.ts';
import { configuredDatabase } from '../platform/db/configured-database.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase } from '../platform/db/pool.ts';
import { configuredEdge } from '../platform/http/edge/configured-edge.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { DEFAULT_LIMITS } from '../platform/http/server.ts';
import { rotatingKeys } from '../platform/secrets/signing-keys.ts';
import { openTls } from '../platform/secrets/tls-files.ts';
import { tenantSeriesOf } from '../platform/telemetry/configured-tenants.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { hasLiveApiKey } from '../platform/tenancy/live-keys.ts';
import { createNodeModelsSource } from './adapters/model-policy-models.ts';
import { nodeIdentity } from './peers/identity.ts';
import { parsePeersFile, PeersFileError, type PeersFile } from './peers/peers-file.ts';
import { createFederation } from './service.ts';

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string }> {
  const { values } = config;
  const mode = resolveModeRules(config, { federation: true });
  const node = nodeIdentity(config, mode.mode, readPeers(values.AGENTOS_PEERS_FILE));
  if (values.AGENTOS_FED_REQUIRE_MTLS) {
    throw new ConfigError('AGENTOS_FED_REQUIRE_MTLS', 'AGENTOS_FED_REQUIRE_MTLS is on, and this release does not serve mutual TLS yet: it would listen unprotected, so it does not start. Turn it off and keep Federation on a private network.');
  }
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const metrics = createMetrics({ service: 'federation', tenants: tenantSeriesOf(values) });
  const signingKeys = rotatingKeys(config, serviceTokenKey);
  const verifiers = configuredVerifiers(values, 'federation', { mode: mode.mode, log, metrics, ...(signingKeys === null ? {} : { signingKeys }) });
  const tls = openTls(config, log);
  const edge = configuredEdge(values, mode.mode);
  const named = configuredDatabase(config);
  const url = named.url();
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations, log });
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  const database = await createDatabase({ ...named, applicationName: 'agentos-federation', max: values.AGENTOS_DB_POOL_SIZE, log });
  await requireKnownIdentity(config, () => hasLiveApiKey(database.pool));
  const directory = new PostgresDirectory(database.pool, { hints: { url: named.url, log } });
  const audit = openServiceAudit('federation', config, log, metrics);
  const { onRefused } = audit.attach(new PostgresAudit(database.pool, audit.trail), directory);
  const identity = createIdentity({
    mode: mode.mode, directory, defaultTenant: mode.defaultTenant, allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const server = createFederation({
    node, directory, identity, log,
    nodeLimits: { maxConcurrentRuns: values.AGENTOS_WORKER_CONCURRENCY, maxEventStreams: DEFAULT_LIMITS.maxStreams },
    models: createNodeModelsSource({ baseUrl: values.AGENTOS_MODEL_POLICY_URL, tokens: signingKeys === null ? null : createServiceTokenIssuer(signingKeys, 'federation'), log }),
    metrics,
    checks: { postgres: () => database.ping(), ...verifiers.checks },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    contractCheck: mode.contractCheck,
    http: { edge, tls, onRefused },
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  const listening = await server.listen(values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_FEDERATION_PORT, values.AGENTOS_HOST);
  log.info({ url: listening, mode: mode.mode, stack_id: node.local.stack_id, peers: node.peers.map((peer) => peer.stack_id) }, 'Federation listens.');
  return {
    url: listening,
    async close() {
      await server.close();
      tls?.close();
      await verifiers.close();
      await audit.close();
      await directory.close();
      await database.close();
    },
  };
}

/** @throws ConfigError that names the file and the place in it. */
export function readPeers(path: string | undefined): PeersFile {
  if (path === undefined) return { local: null, peers: [] };
  try {
    return parsePeersFile(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof PeersFileError) throw new ConfigError('AGENTOS_PEERS_FILE', `AGENTOS_PEERS_FILE ${path}: ${error.message}.`);
    throw new ConfigError('AGENTOS_PEERS_FILE', `AGENTOS_PEERS_FILE ${path} cannot be read: ${(error as Error).message}.`);
  }
}
