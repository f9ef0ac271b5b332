/** Statements over many runs reach their rows by index, in the order of the answer, however many runs there are. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AUDIT_SET } from '../../../conformance/harness/migrations.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { ListRunsQuery } from '../ports/run-state.ts';
import { runIdAt } from '../runtime/child-id.ts';
import { migrations, SCHEMA } from './migrations/index.ts';
import { labelFacet, parentFacet } from './run-facets.ts';
import { listRunsStatement } from './run-list-postgres.ts';
import { DELETE_KEYS, DELETE_RUNS } from './run-retention-postgres.ts';

const RUNS = 100_000;
const START_MS = Date.parse('2026-01-01T00:00:00Z');
const STEP_MS = 10_000;
let test: TestDatabase;
let database: Database;

const idOf = (i: number): string => `${runIdAt(START_MS + i * STEP_MS)}${String(i).padStart(16, '0')}`;
const timeOf = (i: number): string => new Date(START_MS + i * STEP_MS).toISOString();

/** Most completed, one in a hundred failed, one in two hundred canceled, the newest few hundred waiting or running. */
const FILL = `
  INSERT INTO orchestrator.runs (tenant_id, run_id, agent_id, agent_version, status, created_at, completed_at, correlation_id, traceparent, principal_id,
    request, work, lease_token, lease_until, priority, queue_rank, available_at)
  SELECT 'tnt_big', id, CASE WHEN i % 50 = 0 THEN 'agt_rare' ELSE 'agt_common' END, '1', status, at, CASE WHEN status IN ('queued', 'running') THEN NULL ELSE at + interval '1 second' END,
    'c', 't', 'p', '{"options":{},"tooling":{},"labels":{}}', '{}', CASE WHEN status = 'running' THEN id END, CASE WHEN status = 'running' THEN at END, 1, i, at
  FROM (SELECT i, id, to_timestamp($2::float8 / 1000) + i * interval '10 seconds' AS at,
    CASE WHEN i > $3 - 300 THEN 'queued' WHEN i > $3 - 400 THEN 'running' WHEN i % 100 = 1 THEN 'failed' WHEN i % 200 = 2 THEN 'canceled' ELSE 'completed' END AS status
    FROM unnest($1::text[]) WITH ORDINALITY AS u (id, i)) n`;

beforeAll(async () => {
  test = await testDatabase({ migrations: [AUDIT_SET, { schema: SCHEMA, migrations }] });
  const admin = new pg.Client({ connectionString: test.url });
  await admin.connect();
  const ids = Array.from({ length: RUNS }, (_, i) => idOf(i + 1));
  await admin.query(FILL, [ids, START_MS, RUNS]);
  await admin.query(`INSERT INTO orchestrator.run_facets (tenant_id, run_id, facet) SELECT 'tnt_big', r, $2 FROM unnest($1::text[]) r`, [ids.filter((_, i) => i % 3 === 0), labelFacet('team', 'growth')]);
  await admin.query(`INSERT INTO orchestrator.run_facets (tenant_id, run_id, facet) SELECT 'tnt_big', r, $2 FROM unnest($1::text[]) r`, [ids.filter((_, i) => i % 5_000 === 0), parentFacet('run_parent')]);
  await admin.query(`INSERT INTO orchestrator.tenant_runs (tenant_id, active) VALUES ('tnt_big', 400)`);
  await admin.query(`INSERT INTO orchestrator.idempotency_keys (tenant_id, principal_id, agent_id, key, request_hash, run_id, created_at, expires_at)
    SELECT 'tnt_big', 'p', 'agt_common', 'k' || i, 'h', id, now(), now() + (i - 50) * interval '1 minute' FROM unnest($1::text[]) WITH ORDINALITY AS u (id, i)`, [ids]);
  await admin.query('ANALYZE orchestrator.runs');
  await admin.query('VACUUM ANALYZE orchestrator.idempotency_keys');
  await admin.end();
  database = await createDatabase({ url: test.url, applicationName: 'plans', keyedStatements: true });
}, 120_000);
afterAll(async () => {
  await database?.close();
  await test?.drop();
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly PlanNode[];
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
}

async function explain(client: pg.PoolClient, text: string, values: readonly unknown[]): Promise<{ readonly nodes: readonly PlanNode[]; readonly pages: number }> {
  const literals = values.map((value) => (value === null ? 'NULL' : typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`));
  await client.query(`PREPARE plan_under_test AS ${text}`);
  try {
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE plan_under_test(${literals.join(', ')})`);
    const root = rows[0]!['QUERY PLAN'][0].Plan;
    const nodes: PlanNode[] = [];
    const walk = (node: PlanNode): void => {
      nodes.push(node);
      for (const child of node.Plans ?? []) walk(child);
    };
    walk(root);
    return { nodes, pages: root['Shared Hit Blocks'] + root['Shared Read Blocks'] };
  } finally {
    await client.query('DEALLOCATE plan_under_test');
  }
}

/** Pages of the table and its indexes that a page of fifty runs may touch: some hundreds at most, of many thousands. */
const MAX_PAGES = 900;

const LISTS: readonly [string, Partial<ListRunsQuery>, string][] = [
  ['everything', {}, 'runs_pkey'],
  ['from a cursor', { after: idOf(50_000) }, 'runs_pkey'],
  ['oldest first from a cursor', { after: idOf(50_000), order: 'oldest' }, 'runs_pkey'],
  ['a common agent', { agentId: 'agt_common', after: idOf(40_000) }, 'runs_'],
  ['a rare agent', { agentId: 'agt_rare' }, 'runs_tenant_agent'],
  ['an agent nobody ran', { agentId: 'agt_absent' }, 'runs_tenant_agent'],
  ['completed', { status: 'completed' }, 'runs_pkey'],
  ['failed', { status: 'failed' }, 'runs_tenant_failed'],
  ['canceled, oldest first', { status: 'canceled', order: 'oldest' }, 'runs_tenant_canceled'],
  ['queued', { status: 'queued' }, 'runs_tenant_waiting'],
  ['running', { status: 'running' }, 'runs_'],
  ['a stretch of time', { createdAfter: timeOf(30_000), createdBefore: timeOf(30_030) }, 'runs_pkey'],
  ['before a time', { createdBefore: timeOf(30_000) }, 'runs_pkey'],
  ['a label', { labels: { team: 'growth' } }, 'run_facets_facet'],
  ['a label from a cursor', { labels: { team: 'growth' }, after: idOf(60_000) }, 'run_facets_facet'],
  ['a label nobody has', { labels: { team: 'nobody' } }, 'run_facets_facet'],
  ['children', { parentRunId: 'run_parent' }, 'run_facets_facet'],
  ['children that run', { parentRunId: 'run_parent', status: ['queued', 'running'] }, 'run_facets_facet'],
];

/** The server takes statistics of a table when it gets round to it, so nothing may hang on whether it has. */
describe.each([
  ['when statistics know of no facets', ''],
  ['when statistics know facets on average', 'ANALYZE orchestrator.run_facets'],
  ['when everything has been vacuumed', 'VACUUM ANALYZE orchestrator.runs, orchestrator.run_facets'],
])(`lists over ${RUNS} runs, %s`, (_when, upkeep) => {
  beforeAll(() => (upkeep === '' ? undefined : test.asSuperuser(async (client) => void (await client.query(upkeep)))), 60_000);

  it.each(LISTS)('%s', async (_name, query, index) => {
    const { statement, values } = listRunsStatement('tnt_big', { limit: 50, ...query });
    const { nodes, pages } = await withTenant(database.pool, 'tnt_big', (client) => explain(client, statement.text, values));
    expect(nodes.map((node) => node['Node Type'])).not.toContain('Seq Scan');
    expect(nodes.some((node) => node['Index Name']?.startsWith(index)), nodes.map((node) => node['Index Name']).join()).toBe(true);
    expect(pages).toBeLessThan(MAX_PAGES);
  });
});

describe(`retention over ${RUNS} runs`, () => {
  it('finds the oldest runs by key', async () => {
    const cutoff = timeOf(30);
    const { nodes, pages } = await withScheduler(database.pool, (client) => explain(client, DELETE_RUNS.text, [cutoff, runIdAt(Date.parse(cutoff)), 50]));
    expect(nodes.map((node) => node['Node Type'])).not.toContain('Seq Scan');
    expect(pages).toBeLessThan(MAX_PAGES);
  });

  it('looks at few runs when none is old enough', async () => {
    const { pages } = await withScheduler(database.pool, (client) => explain(client, DELETE_RUNS.text, ['2020-01-01T00:00:00Z', runIdAt(Date.parse('2020-01-01T00:00:00Z')), 500]));
    expect(pages).toBeLessThan(50);
  });

  it('finds expired idempotency records without reading the others', async () => {
    const { nodes, pages } = await withScheduler(database.pool, (client) => explain(client, DELETE_KEYS.text, [20]));
    expect(nodes.some((node) => node['Index Name'] === 'idempotency_keys_expiry')).toBe(true);
    expect(pages).toBeLessThan(MAX_PAGES);
  });
});
