/** Federation on PostgreSQL, as it runs: which adapters, from which configuration. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { createServiceTokenIssuer, serviceTokenKey } from '../platform/auth/service-token.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { resolveModeRules } from '../platform/config/mode.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase } from '../platform/db/pool.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { DEFAULT_LIMITS } from '../platform/http/server.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { createNodeModelsSource } from './adapters/model-policy-models.ts';
import { nodeIdentity } from './peers/identity.ts';
import { parsePeersFile, PeersFileError, type PeersFile } from './peers/peers-file.ts';
import { createFederation } from './service.ts';

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string }> {
  const { values } = config;
  const mode = resolveModeRules(config);
  const node = nodeIdentity(config, mode.mode, readPeers(values.AGENTOS_PEERS_FILE));
  if (values.AGENTOS_FED_REQUIRE_MTLS) {
    throw new ConfigError('AGENTOS_FED_REQUIRE_MTLS', 'AGENTOS_FED_REQUIRE_MTLS is on, and this release does not serve mutual TLS yet: it would listen unprotected, so it does not start. Turn it off and keep Federation on a private network.');
  }
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const verifiers = configuredVerifiers(values, 'federation');
  const url = values.DATABASE_URL;
  if (url === undefined) throw new ConfigError('DATABASE_URL', 'DATABASE_URL is not set. `agentos up` starts PostgreSQL and sets it; or name a server: postgres://user:password@host:5432/database.');
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  const database = await createDatabase({ url, applicationName: 'agentos-federation', max: values.AGENTOS_DB_POOL_SIZE, log });
  const directory = new PostgresDirectory(database.pool);
  const identity = createIdentity({
    mode: mode.mode, directory, defaultTenant: mode.defaultTenant, allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const signingKey = values.AGENTOS_SIGNING_KEY;
  const server = createFederation({
    node, directory, identity, log,
    nodeLimits: { maxConcurrentRuns: values.AGENTOS_WORKER_CONCURRENCY, maxEventStreams: DEFAULT_LIMITS.maxStreams },
    models: createNodeModelsSource({ baseUrl: values.AGENTOS_MODEL_POLICY_URL, tokens: signingKey === undefined ? null : createServiceTokenIssuer(serviceTokenKey(signingKey), 'federation'), log }),
    metrics: createMetrics({ service: 'federation' }),
    checks: { postgres: () => database.ping() },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    contractCheck: mode.contractCheck,
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  const listening = await server.listen(values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_FEDERATION_PORT, values.AGENTOS_HOST);
  log.info({ url: listening, mode: mode.mode, stack_id: node.local.stack_id, peers: node.peers.map((peer) => peer.stack_id) }, 'Federation listens.');
  return {
    url: listening,
    async close() {
      await server.close();
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
