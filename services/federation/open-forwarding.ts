/** Forwarding as configured: the nodes it can reach, the index of where runs went, and who hears of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import type { AuditPort } from '../platform/audit/audit.ts';
import type { AuditTrail } from '../platform/audit/audit-trail.ts';
import { createServiceTokenIssuer } from '../platform/auth/service-token.ts';
import { ConfigError, type Config } from '../platform/config/load.ts';
import type { ModeRules } from '../platform/config/mode.ts';
import type { RotatingKeys } from '../platform/secrets/signing-keys.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import { PostgresForwardIndex } from './adapters/forward-index-postgres.ts';
import { groupedAudit } from './adapters/grouped-audit.ts';
import { HttpsPeer, type PeerConnection } from './adapters/peer-https.ts';
import { LocalPeer } from './adapters/peer-local.ts';
import { createForwarding, type Forwarding } from './forwarding/forwarding.ts';
import { keepForwardsShort } from './forwarding/forward-retention.ts';
import { createNodes, type Nodes } from './forwarding/nodes.ts';
import { createForwardObserver } from './forwarding/observer.ts';
import { createRunLocation, type RunLocation } from './forwarding/run-location.ts';
import type { NodeIdentity } from './peers/identity.ts';
import type { OwnDescription } from './peers/own-description.ts';
import type { ForwardIndexPort } from './ports/forward-index.ts';

export interface ForwardingParts {
  readonly config: Pick<Config, 'values'>;
  readonly mode: ModeRules;
  readonly node: NodeIdentity;
  readonly own: OwnDescription;
  /** null: no certificates for peers. */
  readonly connection: ((targetStackId: string) => PeerConnection) | null;
  readonly signingKeys: RotatingKeys | null;
  readonly pool: pg.Pool;
  readonly trail: AuditTrail;
  readonly audit: Pick<AuditPort, 'append'>;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface OpenForwarding {
  readonly forwarding: Forwarding;
  readonly runs: RunLocation;
  readonly nodes: Nodes;
  readonly index: ForwardIndexPort;
  /** Before the database is closed. */
  close(): Promise<void>;
}

/** @throws ConfigError when Agent Orchestrator could not be asked in a caller's name. */
export function openForwarding({ config: { values }, mode, node, own, connection, signingKeys, pool, trail, audit, metrics, log }: ForwardingParts): OpenForwarding {
  const index = new PostgresForwardIndex(pool, trail);
  const records = groupedAudit(audit);
  const local = new LocalPeer({ baseUrl: values.AGENTOS_AGENT_ORCHESTRATOR_URL, credentials: localCredentials(signingKeys, mode), describe: (auth) => own.describe(auth.tenant_id), tracing: metrics.tracing });
  const nodes = createNodes({ node, local, remote: connection === null ? null : new HttpsPeer({ connection, tracing: metrics.tracing }) });
  const attempts = { maxAttempts: values.AGENTOS_FED_MAX_ATTEMPTS, baseBackoffMs: values.AGENTOS_FED_BASE_BACKOFF_MS, sleep: (ms: number) => sleep(ms), random: Math.random };
  const stopRetention = keepForwardsShort(index, { runDays: values.AGENTOS_RUN_RETENTION_DAYS, intervalMs: values.AGENTOS_RETENTION_INTERVAL_MS, batch: values.AGENTOS_RETENTION_BATCH, log });
  return {
    index, nodes,
    runs: createRunLocation({ nodes, index, attempts }),
    forwarding: createForwarding({
      node, nodes, index, attempts, observer: createForwardObserver({ audit: records, metrics, log }),
      idempotencyKeyRequired: mode.idempotencyKeyRequired, idempotencyTtlHours: values.AGENTOS_IDEMPOTENCY_TTL_HOURS,
    }),
    async close() {
      await stopRetention();
      await Promise.all([index.close(), records.close()]);
      await local.close();
    },
  };
}

/** A signed token that carries the caller's context, peer included; without a key, which only demo allows, the headers of demo. */
function localCredentials(keys: RotatingKeys | null, mode: ModeRules): (auth: AuthContext) => Promise<Readonly<Record<string, string>>> {
  if (keys !== null) {
    const issuer = createServiceTokenIssuer(keys, 'federation');
    return async (auth) => ({ authorization: `Bearer ${await issuer.issue({ audience: 'agent-orchestrator', auth })}` });
  }
  if (!mode.headerIdentity) throw new ConfigError('AGENTOS_SIGNING_KEY', 'AGENTOS_SIGNING_KEY is not set; outside demo mode it signs the calls to agent-orchestrator. Make one with: openssl rand -base64 48');
  return async (auth) => ({ 'x-tenant-id': auth.tenant_id, 'x-principal-id': auth.principal.principal_id, 'x-scopes': auth.scopes.join(' ') });
}
