/** Agent Orchestrator as it runs: which adapters, from which configuration. */
import type { Logger } from 'pino';
import { createIdentity } from '../platform/auth/identity.ts';
import { createJwtVerifier, type JwtAlgorithm, type JwtVerifier } from '../platform/auth/jwt-verifier.ts';
import { createServiceTokenIssuer, createServiceTokenVerifier, serviceTokenKey } from '../platform/auth/service-token.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { resolveModeRules, type ModeRules } from '../platform/config/mode.ts';
import type { RunningService } from '../platform/http/lifecycle.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import { HttpModel } from './adapters/model-http.ts';
import { createPeerInformation } from './adapters/peer-information.ts';
import { BuiltinTools } from './adapters/tool-builtin.ts';
import { seedNode } from './seed.ts';
import { createOrchestrator } from './service.ts';
import { openMemoryStores, openPostgresStores } from './stores.ts';

/** @throws ConfigError, and AgentOsError dependency_unavailable when the database cannot be reached. */
export async function compose(config: Config, log: Logger): Promise<RunningService & { readonly url: string }> {
  const { values } = config;
  const mode = resolveModeRules(config);
  const metrics = createMetrics({ service: 'agent-orchestrator' });
  const inMemory = values.AGENTOS_STORE === 'memory';
  if (inMemory && mode.mode === 'prod') throw new ConfigError('AGENTOS_STORE', 'AGENTOS_STORE is memory; prod keeps runs in PostgreSQL. Unset it and set DATABASE_URL.');
  const stores = inMemory ? openMemoryStores() : await openPostgresStores(config, log, metrics);
  // Nobody else can reach into this process to seed it.
  if (inMemory) await seedNode(stores.directory, stores.agents);
  const jwt = jwtVerifier(config);
  const identity = createIdentity({
    mode: mode.mode,
    directory: stores.directory,
    defaultTenant: mode.defaultTenant,
    allowHeaderIdentity: mode.headerIdentity,
    verifiers: {
      ...(values.AGENTOS_SIGNING_KEY === undefined ? {} : { service: createServiceTokenVerifier(serviceTokenKey(values.AGENTOS_SIGNING_KEY), 'agent-orchestrator') }),
      ...(jwt === null ? {} : { jwt }),
    },
  });
  const model = new HttpModel({ baseUrl: values.AGENTOS_MODEL_POLICY_URL, credentials: credentialsFor('model-policy', config, mode) });
  const orchestrator = createOrchestrator({
    role: values.AGENTOS_ROLE,
    stores,
    model,
    tools: new BuiltinTools(stores.memory),
    peers: createPeerInformation({ baseUrl: values.AGENTOS_FEDERATION_URL, credentials: credentialsFor('federation', config, mode) }),
    identity,
    metrics,
    log,
    checks: { ...(inMemory ? {} : { postgres: () => stores.ping() }), 'model-policy': (signal: AbortSignal) => model.ping(signal) },
    metricsIdentity: mode.metricsRequireAuth ? identity : null,
    quotaDefaults: values,
    implicitAgents: mode.implicitAgents,
    idempotencyKeyRequired: mode.idempotencyKeyRequired,
    idempotencyTtlHours: values.AGENTOS_IDEMPOTENCY_TTL_HOURS,
    worker: { concurrency: values.AGENTOS_WORKER_CONCURRENCY, leaseMs: values.AGENTOS_LEASE_MS, heartbeatMs: Math.floor(values.AGENTOS_LEASE_MS * 0.3) },
    contractCheck: mode.contractCheck,
    limits: { maxBodyBytes: values.AGENTOS_MAX_BODY_BYTES, maxConnections: values.AGENTOS_MAX_CONNECTIONS, stopGraceMs: values.AGENTOS_STOP_GRACE_MS },
  });
  const url = await orchestrator.server.listen(values.AGENTOS_PORT ?? values.PORT ?? values.AGENTOS_AGENT_ORCHESTRATOR_PORT, values.AGENTOS_HOST);
  log.info({ url, mode: mode.mode, role: values.AGENTOS_ROLE, store: inMemory ? 'memory' : 'postgres' }, 'Agent Orchestrator listens.');
  return {
    url,
    async close() {
      await orchestrator.close();
      await model.close();
      await stores.close();
    },
  };
}

/** A signed token that carries the caller's context; without a key, which only demo allows, the headers of demo. */
function credentialsFor(audience: string, { values }: Config, mode: ModeRules): (auth: AuthContext) => Promise<Readonly<Record<string, string>>> {
  if (values.AGENTOS_SIGNING_KEY !== undefined) {
    const issuer = createServiceTokenIssuer(serviceTokenKey(values.AGENTOS_SIGNING_KEY), 'agent-orchestrator');
    return async (auth) => ({ authorization: `Bearer ${await issuer.issue({ audience, auth })}` });
  }
  if (!mode.headerIdentity) throw new ConfigError('AGENTOS_SIGNING_KEY', `AGENTOS_SIGNING_KEY is not set; outside demo mode it signs the calls to ${audience}. Make one with: openssl rand -base64 48`);
  return async (auth) => ({ 'x-tenant-id': auth.tenant_id, 'x-principal-id': auth.principal.principal_id, 'x-scopes': auth.scopes.join(' ') });
}

function jwtVerifier({ values }: Config): JwtVerifier | null {
  const issuer = values.AGENTOS_JWT_ISSUER;
  if (issuer === undefined) return null;
  const keys = values.AGENTOS_JWT_JWKS_URI !== undefined ? { jwksUri: values.AGENTOS_JWT_JWKS_URI } : values.AGENTOS_JWT_PUBLIC_KEY !== undefined ? { publicKeyPem: values.AGENTOS_JWT_PUBLIC_KEY } : null;
  if (keys === null) throw new ConfigError('AGENTOS_JWT_JWKS_URI', 'AGENTOS_JWT_ISSUER is set without AGENTOS_JWT_JWKS_URI or AGENTOS_JWT_PUBLIC_KEY: there is no key to check its tokens with.');
  return createJwtVerifier([{ issuer, audience: values.AGENTOS_JWT_AUDIENCE, algorithms: values.AGENTOS_JWT_ALGORITHMS as readonly JwtAlgorithm[], keys }]);
}
