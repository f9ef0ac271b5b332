/**
 * One side of the measurement in security-cost.ts: an API process on its own database, with as much security as
 * `SECURITY_COST` says. `bare` connects as the owner, whom row-level security does not hold, takes headers for an identity
 * and writes no audit log; no configuration of a node leads there. It prints its address, and a fresh token for each line
 * it reads.
 */
import { generateKeyPairSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { PostgresAgents } from '../../services/agent-orchestrator/adapters/agents-postgres.ts';
import { PostgresEvents } from '../../services/agent-orchestrator/adapters/events-postgres.ts';
import { PostgresWake } from '../../services/agent-orchestrator/adapters/postgres-wake.ts';
import { PostgresQueue } from '../../services/agent-orchestrator/adapters/queue-postgres.ts';
import { PostgresRunState } from '../../services/agent-orchestrator/adapters/run-state-postgres.ts';
import { createOrchestrator } from '../../services/agent-orchestrator/service.ts';
import { openMemoryStores } from '../../services/agent-orchestrator/stores.ts';
import { AuditTrail } from '../../services/platform/audit/audit-trail.ts';
import { CheckpointWriter } from '../../services/platform/audit/checkpoint-writer.ts';
import { configuredVerifiers } from '../../services/platform/auth/configured-verifiers.ts';
import { createIdentity } from '../../services/platform/auth/identity.ts';
import { issueServiceToken, serviceTokenKey } from '../../services/platform/auth/service-token.ts';
import { loadConfig } from '../../services/platform/config/load.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { createMetrics } from '../../services/platform/telemetry/metrics.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';

const level = process.env['SECURITY_COST'] as 'bare' | 'confined' | 'signed' | 'full';
const url = process.env['DATABASE_URL']!;
const key = 'k'.repeat(48);
const log = pino({ level: 'warn' });
const metrics = createMetrics({ service: 'agent-orchestrator', process: false });
const config = loadConfig({ env: { AGENTOS_MODE: 'demo', AGENTOS_SIGNING_KEY: key }, envFile: null });
const database = await createDatabase({ url, applicationName: `security-cost-${level}`, keyedStatements: true, ...(level === 'bare' ? { role: null } : {}) });
const checkpoints = new CheckpointWriter({ key: generateKeyPairSync('ed25519').privateKey, path: join(tmpdir(), `agentos-security-cost-${process.pid}`, 'checkpoints.jsonl'), log });
const trail = new AuditTrail({ service: 'agent-orchestrator', enabled: level === 'full', followers: [checkpoints] });
const directory = new PostgresDirectory(database.pool);
const wake = new PostgresWake({ pool: database.pool, url, log, listen: false });
const stores = {
  ...openMemoryStores(), directory,
  runState: new PostgresRunState(database.pool, { trail }),
  queue: new PostgresQueue(database.pool, wake),
  events: new PostgresEvents(database.pool, wake),
  agents: new PostgresAgents(database.pool, trail),
};
const headerIdentity = level === 'bare' || level === 'confined';
const verifiers = configuredVerifiers(config.values, 'agent-orchestrator', { mode: 'demo', log, metrics });
const unused = { capabilities: () => ({ adapter: 'unused', contractVersion: '1.0', durable: false, features: [] }) };
const orchestrator = createOrchestrator({
  role: 'api', stores, model: unused as never, tools: unused as never, peers: unused as never,
  identity: createIdentity({ mode: headerIdentity ? 'demo' : 'dev', directory, verifiers, allowHeaderIdentity: headerIdentity }),
  metrics, log, checks: {}, implicitAgents: false, idempotencyKeyRequired: false, idempotencyTtlHours: 24, worker: {}, contractCheck: false, limits: { stopGraceMs: 0 },
  quotaDefaults: { ...config.values, AGENTOS_QUOTA_RUN_CREATE_QPS: 1_000_000, AGENTOS_QUOTA_RUN_CREATE_BURST: 1_000_000, AGENTOS_QUOTA_CONCURRENT_RUNS: 10_000_000,
    // Nobody works these runs off: counting a queue that only grows would be what is measured.
    AGENTOS_MAX_QUEUED_RUNS: undefined },
} as Parameters<typeof createOrchestrator>[0]);
process.stdout.write(`${await orchestrator.server.listen(0, '127.0.0.1')}\n`);
for await (const _line of createInterface({ input: process.stdin })) {
  const auth = { tenant_id: 'tnt_demo', principal: { principal_id: 'usr_bench', principal_type: 'user' as const }, scopes: [...TENANT_SCOPES], roles: ['tenant_user'] };
  process.stdout.write(`${await issueServiceToken(serviceTokenKey(key), { issuer: 'agentos-cli', audience: 'agent-orchestrator', auth })}\n`);
}
await orchestrator.close();
await checkpoints.close();
await stores.runState.close();
await wake.close();
await database.close();
process.exit(0);
