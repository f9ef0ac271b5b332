/** What the stores of runs, agents and webhooks write into the audit log, and what they do not; both families alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { contextOf, freshTenant } from '../../../conformance/ports/fixtures.ts';
import { agentDefinition, canceled, claimOptions, draft, newRun, step, WORKER } from '../../../conformance/ports/run-fixtures.ts';
import { orchestratorMigrations } from '../../../conformance/ports/orchestrator-store.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { PostgresAudit } from '../../platform/audit/audit-postgres.ts';
import { AuditTrail } from '../../platform/audit/audit-trail.ts';
import type { AuditPort, AuditRecord } from '../../platform/audit/audit.ts';
import { withOrigin } from '../../platform/audit/request-origin.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { createSecretBox } from '../../platform/secrets/secret-box.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { AgentPort } from '../ports/agents.ts';
import type { QueuePort } from '../ports/queue.ts';
import type { RunStatePort } from '../ports/run-state.ts';
import type { WebhookPort } from '../ports/webhooks.ts';
import { MemoryAgents } from './agents-memory.ts';
import { PostgresAgents } from './agents-postgres.ts';
import { PostgresWake } from './postgres-wake.ts';
import { MemoryQueue } from './queue-memory.ts';
import { PostgresQueue } from './queue-postgres.ts';
import { MemoryRunState } from './run-state-memory.ts';
import { PostgresRunState } from './run-state-postgres.ts';
import { MemoryRunStore } from './run-store-memory.ts';
import { MemoryWebhooks } from './webhooks-memory.ts';
import { PostgresWebhooks } from './webhooks-postgres.ts';

interface Stores {
  readonly audit: AuditPort;
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly agents: AgentPort;
  readonly webhooks: WebhookPort;
}

let test: TestDatabase;
let database: Database;
let wake: PostgresWake;
let runState: PostgresRunState;
let webhooks: PostgresWebhooks;
beforeAll(async () => {
  test = await testDatabase({ migrations: orchestratorMigrations });
  database = await createDatabase({ url: test.url, applicationName: 'suite', keyedStatements: true });
  wake = new PostgresWake({ pool: database.pool, url: test.url, listen: false });
  runState = new PostgresRunState(database.pool);
  webhooks = new PostgresWebhooks(database.pool, createSecretBox(undefined));
});
afterAll(async () => {
  await Promise.all([runState?.close(), webhooks?.close()]);
  await wake?.close();
  await database?.close();
  await test?.drop();
});

function inMemory(): Stores {
  const audit = new MemoryAudit();
  const store = new MemoryRunStore(Date.now, audit);
  return { audit, runState: new MemoryRunState(store), queue: new MemoryQueue(store), agents: new MemoryAgents(audit), webhooks: new MemoryWebhooks(store, Date.now, audit) };
}

const inPostgres = (): Stores => ({ audit: new PostgresAudit(database.pool), runState, queue: new PostgresQueue(database.pool, wake), agents: new PostgresAgents(database.pool), webhooks });

const recordsOf = async (audit: AuditPort, auth: AuthContext): Promise<AuditRecord[]> => [...(await audit.list(auth, { limit: 100 })).records].reverse();

const deniedCall = (runId: string, stepNumber: number) => draft(runId, stepNumber, 'tool-completed', 'agentos.tool.call.completed', {
  tool_id: 'tool.mail.send', status: 'error', output: null, duration_ms: 0, error: { code: 'forbidden', message: 'no', retryable: false, details: { reason: 'denylisted' } },
});

for (const [family, open] of [['memory', inMemory], ['postgres', inPostgres]] as const) {
  describe(`the audit log of the ${family} stores`, () => {
    it('has one record for each run that was created, and none for replays, refusals or keys used for something else', verifies(['PRS-4.3-14', 'PRS-10.3-01'], async () => {
      const { audit, runState: runs } = open();
      const auth = withOrigin(freshTenant('deeds'), { operationId: 'createRun', correlationId: 'corr_request', source: '192.0.2.1' });
      const keyed = { key: 'k', requestHash: 'a'.repeat(64), ttlHours: 1 };
      const outcomes = [];
      for (const overrides of [{ idempotency: keyed }, { idempotency: keyed }, { idempotency: { ...keyed, requestHash: 'b'.repeat(64) } }, { limits: { maxConcurrentRuns: 1, createQps: 1_000, createBurst: 1_000 } }]) {
        outcomes.push((await runs.createRun(auth, newRun(overrides))).outcome);
      }
      expect(outcomes).toEqual(['created', 'replayed', 'key_reused', 'concurrency_exceeded']);
      const records = await recordsOf(audit, auth);
      expect(records).toHaveLength(1);
      expect(records[0]).toMatchObject({ action: 'run.create', principal: auth.principal, policy_context: auth.policy_context, operation: 'createRun', source: '192.0.2.1', details: { agent_id: 'agt_suite', agent_version: '1' } });
    }));

    it('says where a child or a repeated run comes from', async () => {
      const { audit, runState: runs } = open();
      const auth = freshTenant('deeds');
      const run = newRun({ lineage: { parentRunId: 'run_parent', rootRunId: 'run_root', depth: 1 } });
      await runs.createRun(auth, run);
      expect(await recordsOf(audit, auth)).toMatchObject([{ correlation_id: run.correlationId, details: { parent_run_id: 'run_parent', root_run_id: 'run_root' } }]);
    });

    it('has one record for each cancellation that happened', async () => {
      const { audit, runState: runs } = open();
      const auth = freshTenant('deeds');
      const run = newRun();
      await runs.createRun(auth, run);
      const canceler = { ...contextOf(auth.tenant_id, 'usr_canceler') };
      await Promise.allSettled([1, 2, 3].map(() => runs.cancelRun(canceler, run.runId, canceled(run.runId))));
      await runs.cancelRun(canceler, 'run_absent', canceled('run_absent')).catch(() => undefined);
      expect((await recordsOf(audit, auth)).map(({ action, principal, resource }) => [action, principal!.principal_id, resource!.id])).toEqual([
        ['run.create', 'usr_suite', run.runId], ['run.cancel', 'usr_canceler', run.runId],
      ]);
    });

    it('has a record of a denied tool where the step was the run\'s own, not where a worker was fenced off', verifies(['PRS-10.3-02'], async () => {
      const { audit, runState: runs, queue } = open();
      const auth = freshTenant('deeds');
      await runs.createRun(auth, newRun());
      const claimed = (await queue.claim(WORKER, claimOptions({ limit: 50 }))).find(({ run }) => run.tenantId === auth.tenant_id);
      const { runId } = claimed!.run;
      const transition = { ...step(runId, 0), events: [deniedCall(runId, 0)] };
      expect((await runs.advance(auth, { ...claimed!.lease, token: 'lse_lost' }, transition)).outcome).toBe('fenced');
      expect((await runs.advance(auth, claimed!.lease, transition)).outcome).toBe('applied');
      expect((await runs.advance(auth, claimed!.lease, transition)).outcome).toBe('already_applied');
      const records = (await recordsOf(audit, auth)).filter(({ action }) => action === 'tool.denied');
      expect(records).toMatchObject([{ outcome: 'denied', resource: { type: 'tool', id: 'tool.mail.send' }, details: { run_id: runId, reason: 'denylisted' } }]);
      await runs.cancelRun(auth, runId, canceled(runId));
    }));

    it('has a record of each change of an agent and of a webhook, and none where nothing changed', async () => {
      const { audit, agents, webhooks: hooks } = open();
      const auth = freshTenant('deeds');
      const agent = { ...agentDefinition('agt_a'), status: 'active' as const };
      await agents.create(auth, agent);
      await agents.put(auth, agent);
      await agents.create(auth, agent).catch(() => undefined);
      await agents.replace(auth, { ...agent, instructions: 'Answer well.' });
      await agents.delete(auth, 'agt_a');
      await agents.delete(auth, 'agt_a').catch(() => undefined);
      const definition = { url: 'https://hooks.example.com/', eventTypes: ['*'], agentIds: null, enabled: true, description: null };
      const secret = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
      await hooks.create(auth, { ...definition, webhookId: 'whk_a', secret, limit: 5, idempotency: null });
      await hooks.replace(auth, 'whk_a', { ...definition, enabled: false }, { secret, overlapMs: 0 });
      await hooks.replace(auth, 'whk_absent', definition, null).catch(() => undefined);
      await hooks.delete(auth, 'whk_a');
      const records = await recordsOf(audit, auth);
      expect(records.map(({ action }) => action)).toEqual(['agent.create', 'agent.update', 'agent.delete', 'webhook.create', 'webhook.update', 'webhook.delete']);
      expect(records[1]!.details).toMatchObject({ version: '2' });
      expect(records[4]!.details).toMatchObject({ rotated: true, enabled: false });
      expect(JSON.stringify(records)).not.toContain('whsec');
    });
  });
}

describe('a deed and its record in one transaction', () => {
  it('are undone together when the log cannot be written', async () => {
    const auth = freshTenant('deeds');
    await test.asSuperuser((client) => client.query(`CREATE FUNCTION audit.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.tenant_id = '${auth.tenant_id}' THEN RAISE disk_full; END IF; RETURN NEW; END $$;
      CREATE TRIGGER full_disk BEFORE INSERT ON audit.records FOR EACH ROW EXECUTE FUNCTION audit.full()`));
    const run = newRun();
    const neighbour = freshTenant('deeds');
    const [broken, fine] = await Promise.allSettled([runState.createRun(auth, run), runState.createRun(neighbour, newRun())]);
    expect([broken.status, fine.status]).toEqual(['rejected', 'fulfilled']);
    expect(broken).toMatchObject({ reason: { code: 'dependency_unavailable' } });
    const { rows } = await test.asSuperuser((client) => client.query('SELECT 1 FROM orchestrator.runs WHERE tenant_id = $1', [auth.tenant_id]));
    expect(rows, 'no run without its record').toEqual([]);
    await test.asSuperuser((client) => client.query('DROP TRIGGER full_disk ON audit.records'));
  });

  it('are told to who follows the log, once, after the commit', async () => {
    const told: string[] = [];
    const trail = new AuditTrail({ service: 'agent-orchestrator', followers: [{ committed: (rows, chains) => void told.push(...rows.map(({ entry }) => entry.action), ...chains.map(({ sequence }) => String(sequence))) }] });
    const followed = new PostgresRunState(database.pool, { trail });
    const auth = freshTenant('deeds');
    await followed.createRun(auth, newRun());
    expect(told).toEqual(['run.create', '1']);
    await followed.close();
  });
});
