/** Agent Orchestrator as it runs: which adapters, from which configuration. */
import type { Logger } from 'pino';
import { openServiceAudit } from '../platform/audit/configured-audit.ts';
import { configuredVerifiers } from '../platform/auth/configured-verifiers.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { createServiceTokenIssuer, serviceTokenKey } from '../platform/auth/service-token.ts';
import { SERVICE_VERSION } from '../platform/build-info.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { adminAddress } from '../platform/config/admin-address.ts';
import { resolveModeRules, type ModeRules } from '../platform/config/mode.ts';
import { EgressClient } from '../platform/egress/egress-client.ts';
import { configuredEgress } from '../platform/egress/configured-egress.ts';
import { configuredEdge } from '../platform/http/edge/configured-edge.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { createSecretBox } from '../platform/secrets/secret-box.ts';
import { rotatingKeys, sealingKeys, type RotatingKeys } from '../platform/secrets/signing-keys.ts';
import { openTls } from '../platform/secrets/tls-files.ts';
import { tenantSeriesOf } from '../platform/telemetry/configured-tenants.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { openTracing } from '../platform/telemetry/tracing.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import { HttpModel } from './adapters/model-http.ts';
import { createPeerInformation } from './adapters/peer-information.ts';
import { agentInvokeTool } from './adapters/tools/agent-invoke.ts';
import { createChildRuns } from './runtime/child-runs.ts';
import { parseMcpCommands } from './adapters/tools/mcp-commands.ts';
import { parseSqlSources } from './adapters/tools/sql-sources.ts';
import { openTools } from './open-tools.ts';
import { createMemory } from './memory/memory.ts';
import { seedNode } from './seed.ts';
import { createOrchestrator } from './service.ts';
import { openMemoryStores, openPostgresStores } from './stores.ts';
import { observeCircuit } from './telemetry.ts';
import { DEFAULT_SCHEDULE } from './webhooks/judgement.ts';

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string; readonly adminUrl: string }> {
  const { values } = config;
  const mode = resolveModeRules(config);
  const metrics = createMetrics({ service: 'agent-orchestrator', tenants: tenantSeriesOf(values) });
  metrics.traceTo(await openTracing(values, 'agent-orchestrator', SERVICE_VERSION, log));
  const inMemory = values.AGENTOS_STORE === 'memory';
  // Read before anything is opened: settings that cannot be used must not cost a connection.
  const signingKeys = rotatingKeys(config, serviceTokenKey);
  const verifiers = configuredVerifiers(values, 'agent-orchestrator', { mode: mode.mode, log, metrics, ...(signingKeys === null ? {} : { signingKeys }) });
  const tls = openTls(config, log);
  const credentials = { modelPolicy: credentialsFor('model-policy', signingKeys, mode), federation: credentialsFor('federation', signingKeys, mode) };
  const egressPolicy = configuredEgress(values);
  const edge = configuredEdge(values, mode.mode);
  const separateAdmin = mode.mode === 'prod' && values.AGENTOS_ROLE !== 'worker';
  const [sqlSources, mcpCommands] = [parseSqlSources(values.AGENTOS_SQL_SOURCES), parseMcpCommands(values.AGENTOS_MCP_COMMANDS)];
  const audit = openServiceAudit('agent-orchestrator', config, log, metrics, !inMemory);
  const stores = inMemory ? openMemoryStores(audit.followers) : await openPostgresStores(config, log, metrics, { trail: audit.trail });
  const { onRefused } = audit.attach(stores.audit, stores.directory);
  // Nobody else can reach into this process to seed it.
  if (inMemory) await seedNode(stores.directory, stores.agents);
  const identity = createIdentity({
    mode: mode.mode,
    directory: stores.directory,
    defaultTenant: mode.defaultTenant,
    allowHeaderIdentity: mode.headerIdentity,
    verifiers,
  });
  const egress = new EgressClient({ policy: egressPolicy });
  const model = new HttpModel({ baseUrl: values.AGENTOS_MODEL_POLICY_URL, credentials: credentials.modelPolicy, circuit: { onState: observeCircuit(metrics, 'model-policy') } });
  const memory = createMemory({ ...stores, model, quotaDefaults: values, embeddingModelRef: values.AGENTOS_EMBEDDING_MODEL_REF });
  const nodeTools = openTools({
    registry: stores.toolRegistry, memory, directory: stores.directory, egress, secrets: createSecretBox(sealingKeys(config)), log, sqlSources, mcpCommands,
    callsPerMinute: values.AGENTOS_QUOTA_TOOL_CALLS_PER_MINUTE ?? null,
    more: [agentInvokeTool(createChildRuns({ ...stores, quotaDefaults: values, implicitAgents: false, idempotencyTtlHours: values.AGENTOS_IDEMPOTENCY_TTL_HOURS }))],
  });
  const orchestrator = createOrchestrator({
    ...settingsOf(config, mode),
    stores,
    model,
    tools: nodeTools.tools,
    nodeTools,
    peers: createPeerInformation({ baseUrl: values.AGENTOS_FEDERATION_URL, credentials: credentials.federation }),
    identity,
    metrics,
    log,
    checks: { ...(inMemory ? {} : { postgres: () => stores.ping() }), 'model-policy': (signal: AbortSignal) => model.ping(signal), ...verifiers.checks },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    egress,
    http: { edge, separateAdmin, tls, onRefused },
  });
  const port = values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_AGENT_ORCHESTRATOR_PORT;
  const url = await orchestrator.server.listen(port, values.AGENTOS_HOST);
  const admin = adminAddress(values, port);
  const adminUrl = separateAdmin ? await orchestrator.server.listenAdmin(admin.port, admin.host) : url;
  log.info({ url, admin_url: adminUrl, mode: mode.mode, role: values.AGENTOS_ROLE, store: inMemory ? 'memory' : 'postgres' }, 'Agent Orchestrator listens.');
  return {
    url,
    adminUrl,
    async close() {
      await orchestrator.close();
      await nodeTools.close();
      tls?.close();
      await verifiers.close();
      await Promise.all([model.close(), egress.close()]);
      await audit.close();
      await stores.close();
      await metrics.tracing?.close();
    },
  };
}

/** What the service is told as it stands in the configuration. */
function settingsOf(config: Config, mode: ModeRules) {
  const { values } = config;
  return {
    sealing: sealingKeys(config),
    role: values.AGENTOS_ROLE,
    quotaDefaults: values,
    embeddingModelRef: values.AGENTOS_EMBEDDING_MODEL_REF,
    implicitAgents: mode.implicitAgents,
    idempotencyKeyRequired: mode.idempotencyKeyRequired,
    idempotencyTtlHours: values.AGENTOS_IDEMPOTENCY_TTL_HOURS,
    worker: { concurrency: values.AGENTOS_WORKER_CONCURRENCY, leaseMs: values.AGENTOS_LEASE_MS, heartbeatMs: Math.floor(values.AGENTOS_LEASE_MS * 0.3) },
    modelOutageGraceMs: values.AGENTOS_MODEL_OUTAGE_GRACE_MS,
    tenantDeletionGraceHours: values.AGENTOS_TENANT_DELETION_GRACE_HOURS,
    retention: { runDays: values.AGENTOS_RUN_RETENTION_DAYS, intervalMs: values.AGENTOS_RETENTION_INTERVAL_MS, batch: values.AGENTOS_RETENTION_BATCH },
    webhookDelivery: {
      timeoutMs: values.AGENTOS_WEBHOOK_TIMEOUT_MS,
      concurrency: values.AGENTOS_WEBHOOK_CONCURRENCY,
      leaseMs: values.AGENTOS_LEASE_MS,
      schedule: { ...DEFAULT_SCHEDULE, baseMs: values.AGENTOS_WEBHOOK_RETRY_MS, disableAfter: values.AGENTOS_WEBHOOK_MAX_FAILURES },
    },
    contractCheck: mode.contractCheck,
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  };
}

/** A signed token that carries the caller's context; without a key, which only demo allows, the headers of demo. */
function credentialsFor(audience: string, keys: RotatingKeys | null, mode: ModeRules): (auth: AuthContext) => Promise<Readonly<Record<string, string>>> {
  if (keys !== null) {
    const issuer = createServiceTokenIssuer(keys, 'agent-orchestrator');
    return async (auth) => ({ authorization: `Bearer ${await issuer.issue({ audience, auth })}` });
  }
  if (!mode.headerIdentity) throw new ConfigError('AGENTOS_SIGNING_KEY', `AGENTOS_SIGNING_KEY is not set; outside demo mode it signs the calls to ${audience}. Make one with: openssl rand -base64 48`);
  return async (auth) => ({ 'x-tenant-id': auth.tenant_id, 'x-principal-id': auth.principal.principal_id, 'x-scopes': auth.scopes.join(' ') });
}
