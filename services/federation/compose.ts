/** Federation on PostgreSQL, as it runs: which adapters, from which configuration. */
import type { Logger } from 'pino';
import { AUDIT_SCHEMA, auditMigrations } from '../platform/audit/audit-migrations.ts';
import { PostgresAudit } from '../platform/audit/audit-postgres.ts';
import { openServiceAudit } from '../platform/audit/configured-audit.ts';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { createServiceTokenIssuer, serviceTokenKey } from '../platform/auth/service-token.ts';
import { SERVICE_VERSION } from '../platform/build-info.ts';
import type { Config } from '../platform/config/load.ts';
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
import { openTracing } from '../platform/telemetry/tracing.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { hasLiveApiKey } from '../platform/tenancy/live-keys.ts';
import { PostgresAssertionUses } from './adapters/assertion-uses-postgres.ts';
import { FEDERATION_SCHEMA, federationMigrations } from './adapters/migrations/index.ts';
import { createNodeModelsSource } from './adapters/model-policy-models.ts';
import { openForwarding } from './open-forwarding.ts';
import { openReplication } from './open-replication.ts';
import { nodeIdentity } from './peers/identity.ts';
import { openPeers } from './peers/live-peers.ts';
import type { PeerTrustRules } from './peers/peers-file.ts';
import { createOwnDescription } from './peers/own-description.ts';
import { createFederation } from './service.ts';
import { openPeerTrust } from './trust/open-trust.ts';
import { createPeerIdentity, verifierRules } from './trust/peer-identity.ts';

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string; readonly peersUrl?: string }> {
  const { values } = config;
  const mode = resolveModeRules(config, { federation: true });
  const peers = openPeers(values.AGENTOS_PEERS_FILE, log);
  const node = nodeIdentity(config, mode.mode, peers.current);
  const rulesOf = (stackId: string): PeerTrustRules | null => peers.current().trust.get(stackId) ?? null;
  const trust = openPeerTrust(config, { ownStackId: node.local.stack_id, authorityOf: (stackId) => rulesOf(stackId)?.authority ?? null }, log);
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const metrics = createMetrics({ service: 'federation', tenants: tenantSeriesOf(values) });
  metrics.traceTo(await openTracing(values, 'federation', SERVICE_VERSION, log));
  const signingKeys = rotatingKeys(config, serviceTokenKey);
  const verifiers = configuredVerifiers(values, 'federation', { mode: mode.mode, log, metrics, ...(signingKeys === null ? {} : { signingKeys }) });
  const tls = openTls(config, log);
  const edge = configuredEdge(values, mode.mode);
  const named = configuredDatabase(config);
  await migrateSchemas(named.url(), log);
  const database = await createDatabase({ ...named, applicationName: 'agentos-federation', max: values.AGENTOS_DB_POOL_SIZE, log });
  await requireKnownIdentity(config, () => hasLiveApiKey(database.pool));
  const directory = new PostgresDirectory(database.pool, { hints: { url: named.url, log } });
  const audit = openServiceAudit('federation', config, log, metrics);
  const auditLog = new PostgresAudit(database.pool, audit.trail);
  const { onRefused } = audit.attach(auditLog, directory);
  const identity = createIdentity({
    mode: mode.mode, directory, defaultTenant: mode.defaultTenant, allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const uses = new PostgresAssertionUses(database.pool);
  const models = createNodeModelsSource({ baseUrl: values.AGENTOS_MODEL_POLICY_URL, tokens: signingKeys === null ? null : createServiceTokenIssuer(signingKeys, 'federation'), log });
  const own = createOwnDescription({ node, models, trusted: trust !== null, limits: { maxConcurrentRuns: values.AGENTOS_WORKER_CONCURRENCY, maxEventStreams: DEFAULT_LIMITS.maxStreams } });
  const forwarding = openForwarding({ config, mode, node, own, connection: trust?.connection ?? null, signingKeys, pool: database.pool, trail: audit.trail, audit: auditLog, metrics, log });
  const replication = openReplication({ config, node, nodes: forwarding.nodes, index: forwarding.index, pool: database.pool, trail: audit.trail, audit: auditLog, metrics, log });
  const server = createFederation({
    node, own, models, directory, identity, log,
    forwarding: forwarding.forwarding, runs: forwarding.runs, openRunEvents: replication.openRunEvents, ingest: replication.ingest,
    peers: trust === null ? null : {
      tls: trust.server,
      identity: createPeerIdentity({ verifier: verifierRules(trust, node, rulesOf), rulesOf, uses }),
    },
    metrics,
    checks: { postgres: () => database.ping(), ...verifiers.checks },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    contractCheck: mode.contractCheck,
    http: { edge, tls, onRefused },
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  const listening = await server.listen(values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_FEDERATION_PORT, values.AGENTOS_HOST);
  const peersUrl = await server.peers?.listen(values.AGENTOS_FED_PEER_PORT, values.AGENTOS_FED_PEER_HOST);
  log.info({ url: listening, peers_url: peersUrl ?? null, mode: mode.mode, stack_id: node.local.stack_id, peers: node.peers.map((peer) => peer.stack_id) }, 'Federation listens.');
  return {
    url: listening,
    ...(peersUrl === undefined ? {} : { peersUrl }),
    async close() {
      await server.close();
      await replication.close();
      await forwarding.close();
      tls?.close();
      await trust?.close();
      peers.close();
      await uses.close();
      await verifiers.close();
      await audit.close();
      await directory.close();
      await database.close();
      await metrics.tracing?.close();
    },
  };
}

async function migrateSchemas(url: string, log: Logger): Promise<void> {
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations, log });
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  await migrate({ url, schema: FEDERATION_SCHEMA, migrations: federationMigrations, log });
}
