/**
 * Memory with metadata, expiry, a count of bytes, vectors, and a full-text index that row-level security leaves usable.
 *
 * A policy is judged before any function that might tell what it saw, and the match of a text search is such a
 * function: on a table with a policy no full-text index is ever used. So the words stand in a table of their own, and
 * `match_memory` looks them up as the owner of that table, whom its policy does not bind. It answers keys, and those of
 * the tenants of the transaction alone; whoever asks the table itself is under the policy as everywhere.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

/** No word has an @: the place of an item is one more word of it, so that one index finds words of one namespace. */
const LEXEMES = (words: string): string =>
  `array_to_tsvector(array_append(string_to_array(btrim(${words}), ' '), orchestrator.memory_place(tenant_id, namespace)))`;

const ITEMS: readonly string[] = [
  // Defaults let the release before this one go on writing. Whoever migrates owns the table and is under its policy as long as that is forced.
  'ALTER TABLE orchestrator.memory_items NO FORCE ROW LEVEL SECURITY',
  `ALTER TABLE orchestrator.memory_items
     ALTER COLUMN metadata TYPE jsonb USING metadata::jsonb,
     ADD COLUMN bytes integer NOT NULL DEFAULT 0 CHECK (bytes >= 0),
     ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
     ADD COLUMN expires_at timestamptz,
     ADD COLUMN embedded boolean NOT NULL DEFAULT false`,
  `UPDATE orchestrator.memory_items SET
     bytes = octet_length(key) + octet_length(value::text) + octet_length(metadata::text),
     created_at = updated_at,
     -- Namespaces stand in paths, where a slash has no place.
     namespace = regexp_replace(namespace, '^kv/', 'kv:'),
     words = regexp_replace(words, '([^ ]{128})(?=[^ ])', '\\1 ', 'g')`,
  // Counting a namespace reads the index alone.
  `ALTER TABLE orchestrator.memory_items DROP CONSTRAINT memory_items_pkey,
     ADD CONSTRAINT memory_items_pkey PRIMARY KEY (tenant_id, namespace, key) INCLUDE (bytes, expires_at)`,
  'DROP INDEX orchestrator.memory_items_words',
  'CREATE INDEX memory_items_expiring ON orchestrator.memory_items (expires_at, tenant_id) WHERE expires_at IS NOT NULL',
];

const USAGE: readonly string[] = [
  `CREATE TABLE orchestrator.memory_usage (
     tenant_id text COLLATE "C" PRIMARY KEY,
     items bigint NOT NULL DEFAULT 0 CHECK (items >= 0),
     -- Of all items that are stored, expired ones included. Every write of items holds this row.
     bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0)
   ) WITH (fillfactor = 50)`,
  'INSERT INTO orchestrator.memory_usage SELECT tenant_id, count(*), sum(bytes) FROM orchestrator.memory_items GROUP BY tenant_id',
];

const WORDS: readonly string[] = [
  `CREATE FUNCTION orchestrator.memory_place(tenant text, space text) RETURNS text
     LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '@' || left(encode(sha256(convert_to(tenant || chr(10) || space, 'UTF8')), 'hex'), 32) $$`,
  `CREATE TABLE orchestrator.memory_words (
     tenant_id text COLLATE "C" NOT NULL,
     namespace text COLLATE "C" NOT NULL,
     key text COLLATE "C" NOT NULL,
     lexemes tsvector NOT NULL,
     PRIMARY KEY (tenant_id, namespace, key),
     FOREIGN KEY (tenant_id, namespace, key) REFERENCES orchestrator.memory_items ON DELETE CASCADE
   )`,
  `INSERT INTO orchestrator.memory_words SELECT tenant_id, namespace, key, ${LEXEMES('words')} FROM orchestrator.memory_items`,
  // Without a pending list: a search never pays for the writes before it.
  'CREATE INDEX memory_words_lexemes ON orchestrator.memory_words USING gin (lexemes) WITH (fastupdate = off)',
  `CREATE FUNCTION orchestrator.match_memory(tenant text, space text, wanted tsquery) RETURNS SETOF text
     LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
     AS $$ SELECT found.key FROM (
         SELECT w.tenant_id, w.namespace, w.key FROM orchestrator.memory_words w
         WHERE w.lexemes @@ (quote_literal(orchestrator.memory_place(tenant, space))::tsquery && wanted) OFFSET 0
       ) found
       WHERE found.tenant_id = tenant AND found.namespace = space
         AND tenant = ANY (string_to_array(current_setting('app.tenant_ids', true), ',')) $$`,
  'REVOKE ALL ON FUNCTION orchestrator.match_memory(text, text, tsquery) FROM PUBLIC',
  'GRANT EXECUTE ON FUNCTION orchestrator.match_memory(text, text, tsquery) TO agentos_app',
];

/** Vectors as little-endian 32-bit floats, and a second time as pgvector's type where the server has it. */
const VECTORS: readonly string[] = [
  `CREATE TABLE orchestrator.memory_vectors (
     tenant_id text COLLATE "C" NOT NULL,
     namespace text COLLATE "C" NOT NULL,
     key text COLLATE "C" NOT NULL,
     model text COLLATE "C" NOT NULL,
     dimension integer NOT NULL CHECK (dimension > 0),
     embedding bytea NOT NULL CHECK (octet_length(embedding) = 4 * dimension),
     expires_at timestamptz,
     PRIMARY KEY (tenant_id, namespace, key),
     FOREIGN KEY (tenant_id, namespace, key) REFERENCES orchestrator.memory_items ON DELETE CASCADE
   ) WITH (toast_tuple_target = 8160)`,
  // Floats do not shrink; trying costs time.
  'ALTER TABLE orchestrator.memory_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL',
  'CREATE INDEX memory_vectors_kinds ON orchestrator.memory_vectors (tenant_id, namespace, model, dimension, key)',
  `DO $do$ DECLARE home text; BEGIN
     IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
       BEGIN
         CREATE EXTENSION IF NOT EXISTS vector;
       EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'pgvector is there and cannot be made use of: %', SQLERRM;
       END;
     END IF;
     SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector';
     IF home IS NOT NULL THEN EXECUTE format('ALTER TABLE orchestrator.memory_vectors ADD COLUMN comparable %I.vector NOT NULL', home); END IF;
   END $do$`,
];

export const migration: Migration = {
  name: '0004_memory',
  up: [
    ...ITEMS,
    ...USAGE,
    ...WORDS,
    ...VECTORS,
    ...tenantTable('orchestrator.memory_items', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    ...tenantTable('orchestrator.memory_usage', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE'] }),
    ...tenantTable('orchestrator.memory_vectors', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    ...tenantTable('orchestrator.memory_words', { grants: ['INSERT', 'UPDATE', 'SELECT'] }),
    // Its owner's function reads it past the policy; see above.
    'ALTER TABLE orchestrator.memory_words NO FORCE ROW LEVEL SECURITY',
  ],
};
