import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../../conformance/harness/database.ts';
import { contextOf, rejection } from '../../../../conformance/ports/fixtures.ts';
import type { AgentOsError } from '../../../platform/errors.ts';
import { BuiltinTools } from '../tool-builtin.ts';
import { MemoryMemory } from '../memory-memory.ts';
import { sqlQueryTool } from './sql-query.ts';
import { createSqlSources, parseSqlSources, type SqlSources } from './sql-sources.ts';

const ROLE = `agentos_test_reader_${randomBytes(4).toString('hex')}`;
const ONE = contextOf('tnt_one');
const OTHER = contextOf('tnt_other');
let database: TestDatabase;
let sources: SqlSources;
let tools: BuiltinTools;

beforeAll(async () => {
  database = await testDatabase();
  await database.asSuperuser(async (client) => {
    await client.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD 'reader'`);
    await client.query('CREATE TABLE orders (id integer PRIMARY KEY, city text, paid boolean, at timestamptz, note bytea, total numeric); CREATE TABLE secrets (value text)');
    await client.query(`INSERT INTO orders SELECT n, 'city ' || n, n % 2 = 0, '2026-01-01T00:00:00Z', '\\x0102', n * 1.5 FROM generate_series(1, 1000) n`);
    // More than a reader should have, so that only the tool's own rules stand in the way of writing.
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO ${ROLE}`);
  });
  const asReader = new URL(database.url);
  asReader.username = ROLE;
  asReader.password = 'reader';
  sources = createSqlSources(parseSqlSources(JSON.stringify({
    shop: { url: asReader.href, tenants: ['tnt_one'], max_rows: 50, timeout_ms: 1_000 }, open: { url: asReader.href, tenants: ['*'] },
    root: { url: database.url, tenants: ['tnt_one'] }, gone: { url: 'postgres://x:y@127.0.0.1:1/none', tenants: ['tnt_one'] },
  })));
  tools = new BuiltinTools(new MemoryMemory(), [sqlQueryTool(sources)]);
});
afterAll(async () => {
  await sources.close();
  await database.asSuperuser((client) => client.query(`DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`));
  await database.drop();
});

type Answer = { columns: string[]; rows: unknown[][]; row_count: number; truncated: boolean };

const query = (sql: string, options: { parameters?: readonly unknown[]; source?: string; auth?: typeof ONE; signal?: AbortSignal; timeoutMs?: number } = {}): Promise<Answer> =>
  tools.invoke(options.auth ?? ONE, {
    toolId: 'tool.sql.query', input: { source: options.source ?? 'shop', sql, ...(options.parameters === undefined ? {} : { parameters: options.parameters }) }, toolCallId: 'tcall_one', timeoutMs: options.timeoutMs ?? 10_000,
    signal: options.signal ?? new AbortController().signal, traceparent: '',
  }) as Promise<Answer>;

const refusal = async (sql: string, options: Parameters<typeof query>[1] = {}): Promise<AgentOsError> => rejection(query(sql, options));

describe('tool.sql.query', () => {
  it('reads rows, with parameters bound', async () => {
    expect(await query('SELECT id, city, paid, at, note, total FROM orders WHERE id = $1 AND city = $2', { parameters: [2, 'city 2'] })).toEqual({
      columns: ['id', 'city', 'paid', 'at', 'note', 'total'], rows: [[2, 'city 2', true, '2026-01-01T00:00:00.000Z', '\\x0102', '3.0']], row_count: 1, truncated: false,
    });
    expect((await query('SELECT count(*)::int FROM orders WHERE city = $1', { parameters: ["x' OR '1'='1"] })).rows).toEqual([[0]]);
    expect(await query('SELECT id FROM orders WHERE false')).toMatchObject({ columns: ['id'], rows: [], row_count: 0 });
  });

  it('stops at the rows and bytes that are allowed', async () => {
    expect(await query('SELECT id FROM orders ORDER BY id')).toMatchObject({ row_count: 50, truncated: true });
    const wide = await query("SELECT repeat('x', 30000) FROM generate_series(1, 10)");
    expect([wide.truncated, wide.row_count]).toEqual([true, 2]);
    expect((await query('SELECT 1')).rows, 'the next query is not disturbed').toEqual([[1]]);
  });

  it('stops at the time that is allowed', async () => {
    expect((await refusal('SELECT pg_sleep(5)')).code).toBe('timeout');
    expect((await refusal('SELECT pg_sleep(5)', { source: 'open', timeoutMs: 200 })).code).toBe('timeout');
  });

  it.each([
    ['an insert', "INSERT INTO orders VALUES (5000, 'x')"], ['an update', 'UPDATE orders SET city = city'], ['a delete', 'DELETE FROM orders'], ['a table', 'CREATE TABLE mine (id int)'],
    ['a write in a query', "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone"], ['a lock', 'SELECT * FROM orders FOR UPDATE'],
  ])('does not run %s', async (_name, sql) => {
    expect((await refusal(sql)).code).toMatch(/^(forbidden|invalid_request)$/);
    await database.asSuperuser(async (client) => expect((await client.query('SELECT count(*)::int AS n FROM orders')).rows[0].n).toBe(1_000));
  });

  it.each(['SELECT 1; DELETE FROM orders', 'COMMIT; DELETE FROM orders', 'SELECT 1; SELECT 2'])('refuses a second statement: %s', async (sql) => {
    expect(await refusal(sql)).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('multiple commands') });
  });

  it('gains nothing by ending the transaction or setting the session', async () => {
    for (const sql of ['SET TRANSACTION READ WRITE', 'COMMIT', 'ROLLBACK', 'SET default_transaction_read_only = off', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE', 'SET statement_timeout = 0']) {
      await query(sql).catch(() => undefined);
      expect((await refusal("INSERT INTO orders VALUES (5000, 'x')")).code, sql).toBe('forbidden');
      expect((await refusal('SELECT pg_sleep(3)')).code, sql).toBe('timeout');
    }
  }, 180_000);

  it('says what PostgreSQL thinks of the statement', async () => {
    expect(await refusal('SELECT nothing FROM orders')).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('"nothing" does not exist') });
    expect((await refusal('SELECT * FROM secrets')).code).toBe('forbidden');
    expect((await refusal('SELECT $1::int', { parameters: ['x'] })).code).toBe('invalid_request');
  });

  it('is a tool only of tenants that have a source, and reaches only theirs', async () => {
    const listed = async (auth: typeof ONE) => (await tools.list(auth)).find((tool) => tool.toolId === 'tool.sql.query');
    expect((await listed(ONE))!.description).toContain('gone, open, root, shop');
    expect((await listed(OTHER))!.inputSchema).toMatchObject({ properties: { source: { enum: ['open'] } } });
    expect((await refusal('SELECT 1', { auth: OTHER })).code).toBe('not_found');
    const without = new BuiltinTools(new MemoryMemory(), [sqlQueryTool(createSqlSources([]))]);
    expect((await without.list(ONE)).some((tool) => tool.toolId === 'tool.sql.query')).toBe(false);
  });

  it('refuses a source that is a superuser, and says when one is away', async () => {
    expect((await refusal('SELECT 1', { source: 'root' })).details).toMatchObject({ reason: 'superuser' });
    expect((await refusal('SELECT 1', { source: 'gone' })).code).toBe('dependency_unavailable');
  });

  it.each(['[]', '{', '{"A":{}}', '{"a":{"url":"mysql://x","tenants":["*"]}}', '{"a":{"url":"postgres://x/y"}}', '{"a":{"url":"postgres://x/y","tenants":[]}}', '{"a":{"url":"postgres://x/y","tenants":["*"],"rows":1}}', '{"a":{"url":"postgres://x/y","tenants":["*"],"max_rows":0}}'])('refuses the configuration %s', (text) => {
    expect(() => parseSqlSources(text)).toThrow(/AGENTOS_SQL_SOURCES/);
  });
});
