/**
 * The statements of the hot paths find their rows by key in a store of 100,000 runs: what the adapters really send is
 * recorded, and the server is asked for the plan that it keeps for such a prepared statement.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { storeEndedRuns } from '../../../conformance/load/stored-runs.ts';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AUDIT_SET } from '../../../conformance/harness/migrations.ts';
import { canceled, claimOptions, completion, newRun, step, WORKER } from '../../../conformance/ports/run-fixtures.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { PostgresEvents } from './events-postgres.ts';
import { SCHEMA, migrations } from './migrations/index.ts';
import { PostgresWake } from './postgres-wake.ts';
import { PostgresQueue, reconcileCounters } from './queue-postgres.ts';
import { PostgresRunState } from './run-state-postgres.ts';

const TENANTS = ['tnt_plan_a', 'tnt_plan_b', 'tnt_plan_c', 'tnt_plan_d'];
const RUNS_PER_TENANT = 25_000;
/** Tables that grow with the runs. */
const GROWING = new Set(['runs', 'run_events', 'idempotency_keys']);

const AUTH: AuthContext = { tenant_id: TENANTS[0]!, principal: { principal_id: 'usr_bench', principal_type: 'user' }, scopes: [] };

interface Sent {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

let test: TestDatabase;
let database: Database;
let wake: PostgresWake;
let runState: PostgresRunState;
let queue: PostgresQueue;
let events: PostgresEvents;
let sent: Sent[] = [];
/** Indexes over the rows that wait or are leased; small however much is stored. */
let partial = new Set<string>();

beforeAll(async () => {
  test = await testDatabase({ migrations: [AUDIT_SET, { schema: SCHEMA, migrations }] });
  const owner = await createDatabase({ url: test.url, applicationName: 'plans-owner', role: null, max: 1, statementTimeoutMs: 60_000 });
  const client = await owner.pool.connect();
  try {
    for (const [index, tenantId] of TENANTS.entries()) await storeEndedRuns(client as unknown as pg.Client, { tenantId, agentId: `agt_${index}`, count: RUNS_PER_TENANT, eventsPerRun: 2 });
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indpred IS NOT NULL AND c.relnamespace = 'orchestrator'::regnamespace`,
    );
    partial = new Set(rows.map((row) => row.name));
  } finally {
    client.release();
    await owner.close();
  }
  database = await createDatabase({ url: test.url, applicationName: 'plans', keyedStatements: true });
  record(database.pool);
  wake = new PostgresWake({ pool: database.pool, url: test.url, listen: false });
  runState = new PostgresRunState(database.pool);
  queue = new PostgresQueue(database.pool, wake);
  events = new PostgresEvents(database.pool, wake);
}, 180_000);

afterAll(async () => {
  await runState?.close();
  await wake?.close();
  await database?.close();
  await test?.drop();
});

/** Have no plans. */
const TRANSACTIONS = /^(BEGIN|COMMIT)$/;

/** Remembers every prepared statement that goes over the pool's connections, and its first values. */
function record(pool: pg.Pool): void {
  const watched = new WeakSet<pg.PoolClient>();
  pool.on('acquire', (client) => {
    if (watched.has(client)) return;
    watched.add(client);
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    (client as { query: unknown }).query = (...args: unknown[]): unknown => {
      const [config] = args as [Partial<Sent> | undefined];
      if (config?.name !== undefined && !TRANSACTIONS.test(config.text!) && !sent.some((each) => each.name === config.name)) sent.push({ name: config.name, text: config.text!, values: config.values ?? [] });
      return query(...args);
    };
  });
}

/** Statements that functions of the schema run with the sight of all tenants; such a function keeps its plan as well. */
async function statementsOfFunctions(pool: pg.Pool): Promise<Sent[]> {
  const { rows } = await pool.query<{ name: string; source: string }>(
    "SELECT p.proname AS name, p.prosrc AS source FROM pg_proc p WHERE p.pronamespace = 'orchestrator'::regnamespace AND p.prosrc LIKE '%app.scheduler%'",
  );
  return rows.map(({ name, source }) => ({ name, text: /answer := \((.*)\);/.exec(source)![1]!.replace('at_most', '100'), values: [] }));
}

const SEE_ALL = `SELECT set_config('app.tenant_ids', '${AUTH.tenant_id}', true), set_config('app.scheduler', 'on', true)`;

/** The nodes of the plan that this session keeps for a statement that it has prepared. */
async function keptPlan(client: pg.PoolClient, prepared: string, values: readonly unknown[]): Promise<PlanNode[]> {
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(`EXPLAIN (FORMAT JSON) EXECUTE ${prepared}${values.length === 0 ? '' : `(${values.map(literalOf).join(', ')})`}`);
  return nodesOf(rows[0]!['QUERY PLAN'][0].Plan);
}

/** Runs what an operation does and answers the scans of growing tables in the plans of what it sent. */
async function scansOf(operation: () => Promise<unknown>): Promise<readonly { readonly statement: string; readonly node: PlanNode }[]> {
  sent = [];
  await operation();
  const recorded = sent;
  expect(recorded, 'the operation uses prepared statements').not.toEqual([]);
  const client = await database.pool.connect();
  const scans: { statement: string; node: PlanNode }[] = [];
  try {
    await client.query(`BEGIN; ${SEE_ALL}`);
    for (const { name, text, values } of recorded) {
      await client.query(`PREPARE plan_of_${name} AS ${text}`);
      const nodes = await keptPlan(client, `plan_of_${name}`, values);
      await client.query(`DEALLOCATE plan_of_${name}`);
      for (const node of nodes) {
        if (GROWING.has(node['Relation Name'] ?? '') && /Scan$/.test(node['Node Type'])) scans.push({ statement: name, node });
      }
    }
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
  return scans;
}

function literalOf(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Array.isArray(value)) return `ARRAY[${value.map(literalOf).join(', ')}]::text[]`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return `'${String(value).replaceAll("'", "''")}'`;
}

/** A bitmap scan names its table and its child the index; they are shown as one. */
function nodesOf(node: PlanNode): PlanNode[] {
  const children = (node.Plans ?? []).flatMap(nodesOf);
  if (node['Node Type'] !== 'Bitmap Heap Scan') return [node, ...children];
  return (node.Plans ?? []).map((child) => ({ ...child, 'Relation Name': node['Relation Name'] ?? '' }));
}

function expectKeyed(scans: readonly { readonly statement: string; readonly node: PlanNode }[]): void {
  for (const { statement, node } of scans) {
    const index = node['Index Name'];
    expect(index, `${statement} reads ${node['Relation Name']} by ${node['Node Type']}`).toBeDefined();
    expect(node['Index Cond'] !== undefined || partial.has(index!), `${statement} reads the whole of ${index}`).toBe(true);
  }
}

const indexesOf = (scans: readonly { readonly node: PlanNode }[]): string[] => [...new Set(scans.map(({ node }) => node['Index Name'] ?? node['Node Type']))].sort();

describe('query plans with 100,000 runs', () => {
  const idempotency = { key: 'idem_17', requestHash: 'a'.repeat(64), ttlHours: 1 };

  it('the store is as large as it says', async () => {
    const { rows } = await database.pool.query<{ runs: number; events: number }>(
      `SELECT (SELECT reltuples FROM pg_class WHERE oid = 'orchestrator.runs'::regclass)::int AS runs, (SELECT reltuples FROM pg_class WHERE oid = 'orchestrator.run_events'::regclass)::int AS events`,
    );
    expect(rows[0]!.runs).toBeGreaterThan(95_000);
    expect(rows[0]!.events).toBeGreaterThan(190_000);
  });

  it('would show a statement that reads a table from end to end, or an index', async () => {
    const byCorrelation = { name: 'plan_bad_scan', text: 'SELECT run_id FROM orchestrator.runs WHERE correlation_id = $1', values: ['corr_5'] };
    expect(() => expectKeyed([{ statement: 'none', node: { 'Node Type': 'Seq Scan', 'Relation Name': 'runs' } }])).toThrow('by Seq Scan');
    const scans = await scansOf(() => database.pool.connect().then(async (client) => client.query(byCorrelation).finally(() => client.release())));
    expect(() => expectKeyed(scans)).toThrow();
  });

  it('functions that look at all tenants', async () => {
    const queries = await statementsOfFunctions(database.pool);
    expect(queries.map(({ name }) => name).sort()).toEqual(['queued_runs', 'smallest_queued_rank']);
    expectKeyed(await scansOf(async () => sent.push(...queries)));
  });

  it('create', async () => {
    const scans = await scansOf(() => runState.createRun(AUTH, newRun({ agent: { ...newRun().agent, agentId: 'agt_0' }, idempotency })));
    expectKeyed(scans);
    expect(indexesOf(scans)).toContain('idempotency_keys_pkey');
  });

  it('claim, heartbeat, write a step, write the end', async () => {
    await runState.createRun(AUTH, newRun());
    expectKeyed(await scansOf(async () => {
      const [claimed] = await queue.claim(WORKER, claimOptions());
      expect(claimed).toBeDefined();
      await queue.heartbeat(WORKER, [claimed!.lease], 30_000);
      const auth = { ...AUTH, tenant_id: claimed!.lease.tenantId };
      expect((await runState.advance(auth, claimed!.lease, step(claimed!.run.runId, 0))).outcome).toBe('applied');
      expect((await runState.advance(auth, claimed!.lease, completion(claimed!.run.runId, 1))).outcome).toBe('applied');
      // Refused, so what is stored is read back.
      expect((await runState.advance(auth, claimed!.lease, completion(claimed!.run.runId, 1))).outcome).toBe('already_applied');
    }));
  });

  it('count what is under way, for metrics and at the start', async () => {
    expectKeyed(await scansOf(async () => {
      await queue.depth(WORKER);
      await reconcileCounters(database.pool);
    }));
  });

  it('cancel', async () => {
    const run = newRun();
    await runState.createRun(AUTH, run);
    expectKeyed(await scansOf(() => runState.cancelRun(AUTH, run.runId, canceled(run.runId))));
  });

  it('read a run and its events', async () => {
    const runId = `run_01AAAAAA${'77'.padStart(18, '0')}`;
    const scans = await scansOf(async () => {
      expect((await runState.getRun(AUTH, runId)).status).toBe('completed');
      expect((await events.read(AUTH, runId, { after: 0, limit: 100 })).events).toHaveLength(2);
    });
    expectKeyed(scans);
    expect(indexesOf(scans)).toEqual(['run_events_pkey', 'runs_pkey']);
  });

  it('list runs, by whatever filter, in the order of an index', async () => {
    const queries = [
      { limit: 20 },
      { limit: 20, after: 'run_01AAAAAB' },
      { limit: 20, agentId: 'agt_0' },
      { limit: 20, status: 'failed' as const },
      { limit: 20, agentId: 'agt_0', status: 'completed' as const, after: 'run_01AAAAAB' },
    ];
    for (const query of queries) expectKeyed(await scansOf(() => runState.listRuns(AUTH, query)));
  });
});

/** The planner's choice among the indexes of waiting runs may not hang on what statistics say of them, and when they were taken. */
describe('query plans with 100,000 waiting runs', () => {
  const WAITING = 100_000;
  let waiting: TestDatabase;
  let pooled: Database;
  let session: pg.PoolClient;
  let statements: readonly Sent[];

  beforeAll(async () => {
    waiting = await testDatabase({ migrations: [AUDIT_SET, { schema: SCHEMA, migrations }] });
    await upkeep('ALTER TABLE orchestrator.runs SET (autovacuum_enabled = off)');
    await upkeep('VACUUM ANALYZE orchestrator.runs');
    pooled = await createDatabase({ url: waiting.url, applicationName: 'plans-waiting', keyedStatements: true, max: 1 });
    record(pooled.pool);
    sent = [];
    const stores = { wake: new PostgresWake({ pool: pooled.pool, url: waiting.url, listen: false }), runState: new PostgresRunState(pooled.pool) };
    await wholeLife(stores.runState, new PostgresQueue(pooled.pool, stores.wake));
    await stores.runState.close();
    await stores.wake.close();
    statements = [...sent, ...(await statementsOfFunctions(pooled.pool))];
    expect(statements.map(({ name }) => name)).toEqual(expect.arrayContaining(['ao_read_queue', 'ao_read_keys', 'ao_claim_runs', 'ao_advance_runs', 'ao_cancel_runs', 'ao_heartbeat', 'ao_read_back', 'queued_runs', 'smallest_queued_rank']));
    session = await pooled.pool.connect();
    for (const { name, text, values } of statements) {
      await session.query(`PREPARE kept_${name} AS ${text}`);
      await keptPlan(session, `kept_${name}`, values);
    }
  }, 180_000);

  afterAll(async () => {
    session?.release();
    await pooled?.close();
    await waiting?.drop();
  });

  const upkeep = (text: string): Promise<unknown> => waiting.asSuperuser((client) => client.query(text));

  /** Runs of this many tenants in turn, one behind the other in each tenant's line. */
  const queueUp = (count: number, tenants: number): Promise<unknown> =>
    upkeep(`INSERT INTO orchestrator.runs (tenant_id, run_id, agent_id, agent_version, created_at, correlation_id, traceparent, principal_id, request, work, priority, queue_rank, available_at)
      SELECT 'tnt_' || i % ${tenants}, 'run_' || gen_random_uuid(), 'agt_0', '1', now(), 'c', 't', 'p', '{}', '{}', 1, i / ${tenants}, now() FROM generate_series(0, ${count - 1}) i`);

  async function wholeLife(runState: PostgresRunState, queue: PostgresQueue): Promise<void> {
    const [run, other] = [newRun({ idempotency: { key: 'idem_1', requestHash: 'a'.repeat(64), ttlHours: 1 } }), newRun()];
    await runState.createRun(AUTH, run);
    const [claimed] = await queue.claim(WORKER, claimOptions());
    await queue.heartbeat(WORKER, [claimed!.lease], 30_000);
    await runState.advance(AUTH, claimed!.lease, step(run.runId, 0));
    await queue.park(AUTH, claimed!.lease, 1_000);
    await queue.wake(AUTH, run.runId);
    const [woken] = await queue.claim(WORKER, claimOptions());
    await queue.release(AUTH, woken!.lease, 0);
    const [again] = await queue.claim(WORKER, claimOptions());
    await runState.advance(AUTH, again!.lease, completion(run.runId, 1));
    await runState.advance(AUTH, again!.lease, completion(run.runId, 1));
    await runState.createRun(AUTH, other);
    await runState.cancelRun(AUTH, other.runId, canceled(other.runId));
  }

  const ended = "UPDATE orchestrator.runs SET status = 'completed', completed_at = now(), lease_token = NULL";

  /** What may walk the queue must not do so by a plan that is older than the queue either; connections renew the plans of all others. */
  const WALKS = /queue|claim_runs/;

  async function expectPlans(kept = WALKS): Promise<void> {
    await session.query(`BEGIN; ${SEE_ALL}`);
    try {
      for (const { name, text, values } of statements) {
        await session.query(`PREPARE now_${name} AS ${text}`);
        for (const prepared of [`now_${name}`, ...(kept.test(name) ? [`kept_${name}`] : [])]) expectKeys(prepared, await keptPlan(session, prepared, values));
      }
    } finally {
      await session.query('ROLLBACK');
      for (const { name } of statements) await session.query(`DEALLOCATE now_${name}`).catch(() => undefined);
    }
  }

  /** A scan by the key, or of one of the indexes that hold waiting and leased runs alone, by the one that is for this question. */
  function expectKeys(prepared: string, nodes: readonly PlanNode[]): void {
    const scans = nodes.filter((node) => node['Relation Name'] === 'runs' && /Scan$/.test(node['Node Type']));
    const told = scans.map((node) => `${prepared}: ${node['Node Type']} ${node['Index Name']} ${node['Index Cond'] ?? ''}`).join('; ');
    for (const scan of scans) {
      const index = scan['Index Name'] ?? '';
      if (index === 'runs_tenant_waiting') expect(scan['Index Cond'], told).toEqual(expect.stringMatching(/tenant_id = .* AND .*priority = /));
      else if (index === 'runs_pkey') expect(scan['Index Cond'], told).toEqual(expect.stringMatching(/tenant_id = .* AND .*run_id = /));
      else expect(['runs_queued', 'runs_leased'], told).toContain(index);
    }
    const used = [...new Set(scans.map((scan) => scan['Index Name']))];
    if (prepared.endsWith('ao_read_queue')) expect(used, told).toEqual(['runs_tenant_waiting']);
    if (/queued_runs|queued_rank/.test(prepared)) expect(used, told).toEqual(['runs_queued']);
    // What names its run finds it by that, and not among all that are leased or were until the last vacuum.
    if (/advance|heartbeat|release|park|cancel/.test(prepared)) expect(used, told).toEqual(['runs_pkey']);
  }

  it('with statistics of an empty table, and the plans of then until the connection renews them', async () => {
    await queueUp(WAITING, 1);
    await expectPlans();
    session.release();
    await sleep(1_100);
    session = await pooled.pool.connect();
    await expectPlans(/./);
  }, 180_000);

  it.each([
    ['of one tenant and its queue', 1, ['ANALYZE orchestrator.runs']],
    ['of runs that have all ended', 20, [ended, 'VACUUM ANALYZE orchestrator.runs']],
    ['of twenty tenants and their queues', 20, ['VACUUM ANALYZE orchestrator.runs']],
    ['of a hundred waiting runs', 1_000, ['TRUNCATE orchestrator.runs', 100, 'VACUUM ANALYZE orchestrator.runs']],
    ['of a thousand tenants and their queues', 1_000, ['ANALYZE orchestrator.runs']],
  ] as const)('with statistics %s', async (_of, tenants, before) => {
    for (const each of before) await (typeof each === 'number' ? queueUp(each, tenants) : upkeep(each));
    const { rows } = await waiting.asSuperuser((client) => client.query<{ count: number }>("SELECT count(*)::int AS count FROM orchestrator.runs WHERE status = 'queued'"));
    if (rows[0]!.count < WAITING) await queueUp(WAITING, tenants);
    await expectPlans();
  }, 180_000);
});
