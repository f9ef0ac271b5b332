/** What only this adapter has: an upgrade of memory that is there, and plans that hold at volume. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { migrate } from '../../platform/db/migrate.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { PostgresMemory } from './memory-postgres.ts';
import { GET, KINDS, LIST, NAMESPACES, SEARCH, USAGE, VECTORS } from './memory-postgres-sql.ts';
import { SCHEMA, migrations } from './migrations/index.ts';

const before = migrations.filter(({ name }) => name < '0004');
const upTo = migrations.filter(({ name }) => name < '0005');
const embedding = (...numbers: number[]) => ({ model: 'm', vector: Float32Array.from(numbers) });

describe('the upgrade', () => {
  let test: TestDatabase;
  let owner: string;
  beforeAll(async () => {
    test = await testDatabase();
    owner = `${test.name}_owner`;
    // Also makes the role of the application, where this is the first test on its server.
    await migrate({ url: test.url, schema: SCHEMA, migrations: before });
    // As with a managed database: whoever migrates is no superuser, so that policies bind it.
    await test.asSuperuser(async (client) => {
      await client.query(`CREATE ROLE "${owner}" LOGIN PASSWORD 'owner'`);
      await client.query(`GRANT agentos_app TO "${owner}"`);
      await client.query(`GRANT CREATE ON DATABASE "${test.name}" TO "${owner}"`);
    });
  });
  afterAll(async () => {
    await test.asSuperuser((client) => client.query(`DROP OWNED BY "${owner}" CASCADE`));
    await test.asSuperuser((client) => client.query(`DROP ROLE "${owner}"`));
    await test.drop();
  });

  const urlOfOwner = (): string => {
    const url = new URL(test.url);
    url.username = owner;
    url.password = 'owner';
    return url.href;
  };

  it('keeps what is there, finds it, and counts it', async () => {
    await test.asSuperuser((client) => giveAway(client, owner));
    const [one, two] = [freshTenant(), freshTenant()];
    const long = 'x'.repeat(300);
    await test.asSuperuser(async (client) => {
      const insert = (tenant: string, key: string, value: unknown, words: string) =>
        client.query("INSERT INTO orchestrator.memory_items (tenant_id, namespace, key, value, metadata, words, updated_at) VALUES ($1, 'kv/default', $2, $3, '{}', $4, '2026-01-02T03:04:05Z')", [tenant, key, JSON.stringify(value), words]);
      await insert(one.tenant_id, 'greeting', 'Grüße aus Köln', ' greeting grüße aus köln ');
      await insert(one.tenant_id, 'blob', long, ` blob ${long} `);
      await insert(one.tenant_id, '--', {}, '  ');
      await insert(two.tenant_id, 'greeting', 'Hello', ' greeting hello ');
    });
    expect((await migrate({ url: urlOfOwner(), schema: SCHEMA, migrations: upTo })).applied).toEqual(['0004_memory']);
    const database = await createDatabase({ url: urlOfOwner(), applicationName: 'memory-upgrade' });
    try {
      const memory = await PostgresMemory.open(database.pool);
      expect(await memory.get(one, 'kv:default', 'greeting')).toEqual({
        namespace: 'kv:default', key: 'greeting', value: 'Grüße aus Köln', metadata: {}, bytes: 8 + 19 + 2,
        createdAt: '2026-01-02T03:04:05.000Z', updatedAt: '2026-01-02T03:04:05.000Z', expiresAt: null, embedded: false,
      });
      const find = async (text: string) => (await memory.search(one, 'kv:default', { text, limit: 10 })).map(({ key }) => key);
      expect(await find('KÖLN')).toEqual(['greeting']);
      expect(await find(long)).toEqual(['blob']);
      expect(await find('hello'), "another tenant's").toEqual([]);
      const listed = await memory.list(one, 'kv:default', { limit: 10 });
      expect(await memory.usage(one)).toEqual({ items: 3, bytes: listed.reduce((sum, { bytes }) => sum + bytes, 0) });
      expect(await memory.put(one, { namespace: 'kv:default', key: '--', value: 'words now' })).toMatchObject({ created: false, createdAt: '2026-01-02T03:04:05.000Z' });
      expect(await find('now')).toEqual(['--']);
      expect(await memory.delete(two, 'kv:default', 'greeting')).toBe(true);
      expect(await memory.usage(two)).toEqual({ items: 0, bytes: 0 });
    } finally {
      await database.close();
    }
  });

  it('leaves the release before it able to write', async () => {
    const tenant = freshTenant();
    const database = await createDatabase({ url: urlOfOwner(), applicationName: 'memory-upgrade' });
    try {
      await withTenant(database.pool, tenant.tenant_id, (client) => client.query(`INSERT INTO orchestrator.memory_items AS m (tenant_id, namespace, key, value, metadata, words, updated_at)
        VALUES ($1, 'n', 'k', '1'::json, '{}'::json, ' k ', clock_timestamp()) ON CONFLICT (tenant_id, namespace, key) DO UPDATE SET value = excluded.value`, [tenant.tenant_id]));
      const memory = await PostgresMemory.open(database.pool);
      expect((await memory.get(tenant, 'n', 'k'))?.value).toBe(1);
      expect(await memory.delete(tenant, 'n', 'k')).toBe(true);
      expect(await memory.usage(tenant)).toEqual({ items: 0, bytes: 0 });
    } finally {
      await database.close();
    }
  });
});

/** Everything in the schema belongs to `owner` from now on. */
async function giveAway(client: pg.Client, owner: string): Promise<void> {
  await client.query(`DO $do$ DECLARE one record; BEGIN
    EXECUTE format('ALTER SCHEMA orchestrator OWNER TO %I', '${owner}');
    FOR one IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'orchestrator'::regnamespace AND relkind = 'r' LOOP EXECUTE format('ALTER TABLE %s OWNER TO %I', one.name, '${owner}'); END LOOP;
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'orchestrator'::regnamespace LOOP EXECUTE format('ALTER FUNCTION %s OWNER TO %I', one.name, '${owner}'); END LOOP;
  END $do$`);
}

const ITEMS_PER_TENANT = 15_000;
const VECTORS_AT_VOLUME = 2_000;

describe('at volume', () => {
  let test: TestDatabase;
  let database: Database;
  let memory: PostgresMemory;
  const tenants = [freshTenant(), freshTenant(), freshTenant()] as const;
  const [tenant] = tenants;
  beforeAll(async () => {
    test = await testDatabase({ migrations: [{ schema: SCHEMA, migrations }] });
    await test.asSuperuser((client) => fill(client, tenants.map(({ tenant_id }) => tenant_id)));
    // As the service opens it.
    database = await createDatabase({ url: test.url, applicationName: 'memory-plans', keyedStatements: true });
    memory = await PostgresMemory.open(database.pool);
  }, 120_000);
  afterAll(async () => {
    await database.close();
    await test.drop();
  });

  const explain = (text: string, values: readonly unknown[]): Promise<string> => withTenant(database.pool, tenant.tenant_id, async (client) => {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>({ text: `EXPLAIN (COSTS OFF) ${text}`, values: [...values] });
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  });
  const id = tenant.tenant_id;

  it('items are read and listed by their key', async () => {
    for (const [statement, values] of [[GET, [id, 'n1', 'k00100']], [LIST, [id, 'n1', 'k0', 'k', 50]]] as const) {
      const plan = await explain(statement.text, values);
      expect(plan).toContain('using memory_items_pkey');
      expect(plan).not.toMatch(/Seq Scan|Sort/);
    }
  });

  it('namespaces and usage are counted from indexes', async () => {
    expect(await explain(NAMESPACES.text, [id, '', 50])).toContain('Index Only Scan using memory_items_pkey');
    expect(await explain(USAGE.text, [id])).not.toContain('Seq Scan');
  });

  it('a search by words looks into the full-text index, and nowhere else for candidates', async () => {
    const { rows } = await withTenant(database.pool, id, async (client) => {
      await client.query({ text: SEARCH.text, values: [id, 'n1', "'rare7'", ['rare7'], '{}', 10] });
      return client.query<{ by_words: string; by_key: string; read: string }>(`SELECT pg_stat_get_xact_numscans('orchestrator.memory_words_lexemes'::regclass) AS by_words,
        pg_stat_get_xact_numscans('orchestrator.memory_words_pkey'::regclass) AS by_key, pg_stat_get_xact_tuples_fetched('orchestrator.memory_words'::regclass) AS read`);
    });
    expect(rows[0]).toMatchObject({ by_words: '1', by_key: '0' });
    // `rare7` stands in 15 items of each of three namespaces of each tenant: only this namespace's are touched.
    expect(Number(rows[0]!.read)).toBeLessThanOrEqual(15);
    expect(await memory.search(tenant, 'n1', { text: 'RARE7 common', limit: 100 })).toHaveLength(ITEMS_PER_TENANT / 3 / 1_000);
    expect(await explain(SEARCH.text, [id, 'n1', "'rare7'", ['rare7'], '{}', 10])).not.toContain('Seq Scan');
  });

  it('the look-up past the policy answers for the tenants of the transaction alone', async () => {
    const matches = (asked: string): Promise<number> => withTenant(database.pool, id, async (client) =>
      (await client.query("SELECT * FROM orchestrator.match_memory($1, 'n1', '''common'''::tsquery)", [asked])).rows.length);
    expect(await matches(id)).toBeGreaterThan(1_000);
    expect(await matches(tenants[1].tenant_id)).toBe(0);
    const words = await withTenant(database.pool, id, (client) => client.query<{ tenants: string[] }>('SELECT array_agg(DISTINCT tenant_id) AS tenants FROM orchestrator.memory_words'));
    expect(words.rows[0]!.tenants, 'the table itself is under the policy').toEqual([id]);
  });

  it('vectors are read in stretches, in the order of an index', async () => {
    const plan = await explain(VECTORS.text, [id, 'n1', 'm', 3, null, '', 1_000]);
    expect(plan).toMatch(/Index Scan using memory_vectors_/);
    expect(plan).not.toMatch(/Seq Scan|Sort/);
    expect(await explain(KINDS.text, [id, 'n1'])).not.toContain('Seq Scan');
    expect((await memory.searchByVector(tenant, 'n1', { embedding: embedding(1, 0, 0), limit: 3 })).map(({ key, score }) => [key, score])).toEqual([['k00000', 1], ['k00007', 1], ['k00014', 1]]);
  });

  it('expired items are swept by their index, over many batches', async () => {
    const plan = await explain("SELECT 1 FROM orchestrator.memory_items m WHERE m.expires_at <= now() ORDER BY m.expires_at LIMIT 10", []);
    expect(plan).toContain('memory_items_expiring');
    const usage = await memory.usage(tenant);
    let swept = 0;
    for (let batch = 0; (batch = await memory.sweep(100)) > 0; ) swept += batch;
    expect(swept).toBe(300);
    expect(await memory.usage(tenant)).toEqual(usage);
  });
});

/** 15,000 items a tenant in three namespaces, each with ten words, of which one in a thousand has `rare7`; a hundred a tenant have expired. */
async function fill(client: pg.Client, tenantIds: readonly string[]): Promise<void> {
  await client.query('BEGIN');
  await client.query(
    `INSERT INTO orchestrator.memory_items (tenant_id, namespace, key, value, metadata, words, bytes, created_at, updated_at, expires_at, embedded)
     SELECT t, 'n' || i % 3, 'k' || lpad((i / 3)::text, 5, '0'), to_json(repeat('v', 100)), '{}', ' common w' || i % 997 || ' a b c d e f g rare' || (i / 3) % 1000 || ' ', 120, now(), now(),
       CASE WHEN i >= $2 THEN now() - interval '1 hour' END, i % 3 = 1
     FROM unnest($1::text[]) t, generate_series(0, $2 + 99) i`,
    [tenantIds, ITEMS_PER_TENANT],
  );
  await client.query(
    `INSERT INTO orchestrator.memory_words SELECT tenant_id, namespace, key, array_to_tsvector(array_append(string_to_array(btrim(words), ' '), orchestrator.memory_place(tenant_id, namespace)))
     FROM orchestrator.memory_items`,
  );
  await client.query('INSERT INTO orchestrator.memory_usage SELECT tenant_id, count(*), sum(bytes) FROM orchestrator.memory_items GROUP BY tenant_id');
  await client.query(
    `INSERT INTO orchestrator.memory_vectors (tenant_id, namespace, key, model, dimension, embedding)
     SELECT tenant_id, namespace, key, 'm', 3, CASE WHEN substr(key, 2)::int % 7 = 0 THEN '\\x0000803f0000000000000000'::bytea ELSE '\\x000000000000803f00000000'::bytea END
     FROM orchestrator.memory_items WHERE namespace = 'n1' AND substr(key, 2)::int < ${VECTORS_AT_VOLUME}`,
  );
  await client.query('COMMIT');
  await client.query('VACUUM ANALYZE orchestrator.memory_items, orchestrator.memory_words, orchestrator.memory_vectors');
}
