/** The statements of a tenant's memory in Postgres. `$1` is the tenant and `$2` the namespace wherever there is one. */
import { MAX_RANKED, keywordScoreSql } from './memory-ranking.ts';
import { scoped, type Statement } from './postgres-read.ts';

const ITEM_COLUMNS = `m.namespace, m.key, m.value, m.metadata, m.bytes, m.embedded,
  (extract(epoch FROM m.created_at) * 1000)::float8 AS created_ms,
  (extract(epoch FROM m.updated_at) * 1000)::float8 AS updated_ms,
  (extract(epoch FROM m.expires_at) * 1000)::float8 AS expires_ms`;

const ITEM = 'm.tenant_id = $1 AND m.namespace = $2 AND m.key = $3';
const VISIBLE = '(m.expires_at IS NULL OR m.expires_at > now())';
/** Each member of the filter lists values; one of them is the item's. */
const passesFilter = (filter: string): string =>
  `NOT EXISTS (SELECT FROM jsonb_each(${filter}::jsonb) f WHERE (f.value @> (m.metadata -> f.key)) IS NOT TRUE)`;

/** Whoever writes items of a tenant holds this row first, so that no two writes count on the same room. */
export const HOLD_USAGE: Statement = { name: 'ao_memory_hold', text: 'SELECT u.items, u.bytes FROM orchestrator.memory_usage u WHERE u.tenant_id = $1 FOR UPDATE' };
export const OPEN_USAGE: Statement = { name: 'ao_memory_open', text: 'INSERT INTO orchestrator.memory_usage (tenant_id) VALUES ($1) ON CONFLICT (tenant_id) DO NOTHING' };

/**
 * The item, its words and its vector, if there is room for them; no row if there is not. `replaced` says whether an
 * item that could be seen stood there. Values: tenant, namespace, key, value, metadata, words, bytes, seconds to live,
 * limit, model, dimension, vector, and the vector as numbers where pgvector is used.
 */
export const putStatement = (pgvector: string | null): Statement => ({
  name: 'ao_memory_put',
  text: `WITH old AS (SELECT m.bytes, m.created_at, ${VISIBLE} AS seen FROM orchestrator.memory_items m WHERE ${ITEM}),
    room AS (
      UPDATE orchestrator.memory_usage u
      SET bytes = greatest(0, u.bytes + $7::integer - coalesce((SELECT bytes FROM old), 0)), items = greatest(0, u.items + 1 - (SELECT count(*) FROM old))
      WHERE u.tenant_id = $1
        AND ($9::bigint IS NULL OR $7::integer <= (SELECT bytes FROM old) OR u.bytes + $7::integer - coalesce((SELECT bytes FROM old), 0) <= $9::bigint)
      RETURNING u.tenant_id),
    stored AS (
      INSERT INTO orchestrator.memory_items AS m (tenant_id, namespace, key, value, metadata, words, bytes, created_at, updated_at, expires_at, embedded)
      SELECT room.tenant_id, $2, $3, $4::json, $5::jsonb, $6, $7::integer, coalesce((SELECT created_at FROM old WHERE seen), t.now), t.now,
        t.now + make_interval(secs => $8::float8), $10::text IS NOT NULL
      FROM room CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) t
      ON CONFLICT (tenant_id, namespace, key) DO UPDATE
        SET value = excluded.value, metadata = excluded.metadata, words = excluded.words, bytes = excluded.bytes, created_at = excluded.created_at,
          updated_at = excluded.updated_at, expires_at = excluded.expires_at, embedded = excluded.embedded
      RETURNING m.*),
    indexed AS (
      INSERT INTO orchestrator.memory_words AS w (tenant_id, namespace, key, lexemes)
      SELECT m.tenant_id, m.namespace, m.key, array_to_tsvector(array_append(string_to_array(btrim(m.words), ' '), orchestrator.memory_place(m.tenant_id, m.namespace))) FROM stored m
      ON CONFLICT (tenant_id, namespace, key) DO UPDATE SET lexemes = excluded.lexemes),
    compared AS (
      INSERT INTO orchestrator.memory_vectors AS v (tenant_id, namespace, key, model, dimension, embedding, expires_at${pgvector === null ? '' : ', comparable'})
      SELECT m.tenant_id, m.namespace, m.key, $10, $11, $12, m.expires_at${pgvector === null ? '' : `, $13::real[]::${pgvector}.vector`} FROM stored m WHERE m.embedded
      ON CONFLICT (tenant_id, namespace, key) DO UPDATE
        SET model = excluded.model, dimension = excluded.dimension, embedding = excluded.embedding, expires_at = excluded.expires_at${pgvector === null ? '' : ', comparable = excluded.comparable'}),
    bare AS (DELETE FROM orchestrator.memory_vectors v USING stored m WHERE NOT m.embedded AND v.tenant_id = $1 AND v.namespace = $2 AND v.key = $3)
    SELECT ${ITEM_COLUMNS}, coalesce((SELECT seen FROM old), false) AS replaced FROM stored m`,
});

export const GET = scoped('ao_memory_get', `SELECT ${ITEM_COLUMNS} FROM orchestrator.memory_items m WHERE m.tenant_id = s.tenant_id AND m.namespace = $2 AND m.key = $3 AND ${VISIBLE}`);

export const DELETE: Statement = {
  name: 'ao_memory_delete',
  text: `WITH gone AS (DELETE FROM orchestrator.memory_items m WHERE ${ITEM} RETURNING m.bytes, ${VISIBLE} AS seen),
    freed AS (UPDATE orchestrator.memory_usage u SET items = greatest(0, u.items - 1), bytes = greatest(0, u.bytes - gone.bytes) FROM gone WHERE u.tenant_id = $1)
    SELECT gone.seen FROM gone`,
};

/** No key with the prefix is greater than the prefix and as many of the greatest character as a key may have. */
export const LIST = scoped(
  'ao_memory_list',
  `SELECT ${ITEM_COLUMNS} FROM orchestrator.memory_items m
    WHERE m.tenant_id = s.tenant_id AND m.namespace = $2 AND m.key > $3 AND m.key >= $4 AND m.key <= $4 || repeat(chr(1114111), 256)
      AND starts_with(m.key, $4) AND ${VISIBLE}
    ORDER BY m.key LIMIT $5`,
);

/** Values after the namespace: the words as a tsquery, the words, the filter, the limit. */
export const SEARCH: Statement = {
  name: 'ao_memory_search',
  text: `SELECT ${ITEM_COLUMNS}, m.score FROM (
      SELECT c.*, ${keywordScoreSql('c.words', '$4::text[]')} AS score FROM (
        SELECT m.* FROM orchestrator.match_memory($1, $2, $3::tsquery) AS found (key)
        JOIN orchestrator.memory_items m ON m.tenant_id = $1 AND m.namespace = $2 AND m.key = found.key
        WHERE ${VISIBLE} AND ${passesFilter('$5')}
        ORDER BY m.key LIMIT ${MAX_RANKED}) c) m
    ORDER BY m.score DESC, m.key LIMIT $6`,
};

const COMPARABLE = 'v.tenant_id = $1 AND v.namespace = $2 AND v.model = $3 AND v.dimension = $4';
const LIVE = '(v.expires_at IS NULL OR v.expires_at > now())';
const comparablePasses = `EXISTS (SELECT FROM orchestrator.memory_items m WHERE m.tenant_id = v.tenant_id AND m.namespace = v.namespace AND m.key = v.key AND ${passesFilter('$5')})`;

/** A stretch of the vectors by key. Values after the namespace: model, dimension, filter, the key before, how many. */
export const VECTORS: Statement = {
  name: 'ao_memory_vectors',
  text: `SELECT v.key, v.embedding FROM orchestrator.memory_vectors v
    WHERE ${COMPARABLE} AND v.key > $6 AND ${LIVE} AND ($5::jsonb IS NULL OR ${comparablePasses}) ORDER BY v.key LIMIT $7`,
};

/** The nearest by pgvector's own arithmetic. Values after the namespace: model, dimension, filter, the question, how many. */
export const nearestStatement = (pgvector: string): Statement => ({
  name: 'ao_memory_nearest',
  text: `SELECT v.key, v.embedding FROM orchestrator.memory_vectors v
    WHERE ${COMPARABLE} AND ${LIVE} AND ($5::jsonb IS NULL OR ${comparablePasses})
    ORDER BY v.comparable OPERATOR(${pgvector}.<=>) $6::real[]::${pgvector}.vector, v.key LIMIT $7`,
});

export const BY_KEYS: Statement = {
  name: 'ao_memory_by_keys',
  text: `SELECT ${ITEM_COLUMNS} FROM orchestrator.memory_items m WHERE m.tenant_id = $1 AND m.namespace = $2 AND m.key = ANY ($3) AND ${VISIBLE}`,
};

/** From kind to kind by the index: a namespace has a handful of kinds and any number of vectors. */
export const KINDS = scoped(
  'ao_memory_kinds',
  `WITH RECURSIVE kinds AS (
      (SELECT v.model, v.dimension FROM orchestrator.memory_vectors v WHERE v.tenant_id = s.tenant_id AND v.namespace = $2 ORDER BY v.model, v.dimension LIMIT 1)
      UNION ALL
      SELECT next.model, next.dimension FROM kinds k CROSS JOIN LATERAL (
        SELECT v.model, v.dimension FROM orchestrator.memory_vectors v
        WHERE v.tenant_id = s.tenant_id AND v.namespace = $2 AND (v.model, v.dimension) > (k.model, k.dimension) ORDER BY v.model, v.dimension LIMIT 1) next)
    SELECT k.model, k.dimension FROM kinds k
    WHERE EXISTS (SELECT FROM orchestrator.memory_vectors v WHERE v.tenant_id = s.tenant_id AND v.namespace = $2 AND v.model = k.model AND v.dimension = k.dimension AND ${LIVE})
    ORDER BY k.model, k.dimension`,
);

export const NAMESPACES = scoped(
  'ao_memory_namespaces',
  `SELECT m.namespace, count(*)::float8 AS items, sum(m.bytes)::float8 AS bytes FROM orchestrator.memory_items m
    WHERE m.tenant_id = s.tenant_id AND m.namespace > $2 AND ${VISIBLE} GROUP BY m.namespace ORDER BY m.namespace LIMIT $3`,
);

/** What is stored less what has expired; that is little, since it is swept. */
export const USAGE = scoped(
  'ao_memory_usage',
  `SELECT greatest(0, u.items - e.items)::float8 AS items, greatest(0, u.bytes - e.bytes)::float8 AS bytes FROM orchestrator.memory_usage u
    CROSS JOIN (SELECT count(*) AS items, coalesce(sum(m.bytes), 0) AS bytes FROM orchestrator.memory_items m WHERE m.tenant_id = s.tenant_id AND m.expires_at <= now()) e
    WHERE u.tenant_id = s.tenant_id`,
);

/** Holds the tenants of the longest expired items, but for those who are just writing: their turn comes later. */
export const HOLD_EXPIRED: Statement = {
  name: 'ao_memory_hold_expired',
  text: `SELECT u.tenant_id FROM orchestrator.memory_usage u
    WHERE u.tenant_id IN (SELECT e.tenant_id FROM (SELECT m.tenant_id FROM orchestrator.memory_items m WHERE m.expires_at <= now() ORDER BY m.expires_at LIMIT $1) e)
    ORDER BY u.tenant_id FOR UPDATE SKIP LOCKED`,
};

/** Removes expired items of tenants that are held. */
export const SWEEP: Statement = {
  name: 'ao_memory_sweep',
  text: `WITH gone AS (
      DELETE FROM orchestrator.memory_items m USING (
        SELECT d.tenant_id, d.namespace, d.key FROM orchestrator.memory_items d
        WHERE d.expires_at <= now() AND d.tenant_id = ANY ($2) ORDER BY d.expires_at LIMIT $1) d
      WHERE m.tenant_id = d.tenant_id AND m.namespace = d.namespace AND m.key = d.key RETURNING m.tenant_id, m.bytes),
    freed AS (
      UPDATE orchestrator.memory_usage u SET items = greatest(0, u.items - f.items), bytes = greatest(0, u.bytes - f.bytes)
      FROM (SELECT gone.tenant_id, count(*) AS items, sum(gone.bytes) AS bytes FROM gone GROUP BY gone.tenant_id) f WHERE u.tenant_id = f.tenant_id)
    SELECT count(*)::integer AS swept FROM gone`,
};

/** Where pgvector lives, if the vectors are kept in its type as well. */
export const FIND_PGVECTOR = `SELECT quote_ident(n.nspname) AS home FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE a.attrelid = to_regclass('orchestrator.memory_vectors') AND a.attname = 'comparable' AND NOT a.attisdropped`;
