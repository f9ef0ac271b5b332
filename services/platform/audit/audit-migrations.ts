/**
 * Schema `audit`: the chains. Every service of a node runs these; whoever comes first applies them.
 *
 * Services read, and append through one function. The function belongs to the owner of the tables and the application
 * role may write neither table by itself, so that whoever takes over a service can add to the log and can change
 * nothing that is in it. Row-level security says what may be read; what may be appended the function decides by the same
 * setting, because it runs with its owner's rights, which may be a superuser's.
 */
import type { Migration } from '../db/migrate.ts';
import { APPLICATION_ROLE } from '../db/pool.ts';
import { tenantTable } from '../db/tenant-table.ts';

export const AUDIT_SCHEMA = 'audit';

const RECORDS = `
CREATE TABLE audit.records (
  tenant_id text COLLATE "C" NOT NULL,
  service text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL CHECK (sequence >= 1),
  recorded_at timestamptz NOT NULL,
  previous_hash bytea NOT NULL,
  hash bytea NOT NULL,
  -- Exactly the text that was hashed; json keeps it as it came.
  entry json NOT NULL,
  PRIMARY KEY (tenant_id, service, sequence)
)`;

const HEADS = `
CREATE TABLE audit.heads (
  tenant_id text COLLATE "C" NOT NULL,
  service text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL,
  hash bytea NOT NULL,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, service)
) WITH (fillfactor = 50)`;

/**
 * The protocol of chain.ts in one statement: heads locked in one order, records numbered, hashed and inserted, heads
 * moved. It is the last statement of a transaction, so that a chain's lock is held for one commit and nobody who holds
 * it waits for anything else. Time never runs backwards in a chain, whatever the server's clock does.
 */
const APPEND = `
CREATE FUNCTION audit.append(entries json)
RETURNS TABLE (tenant_id text, service text, sequence bigint, recorded_at text, previous_hash text, hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  allowed text[] := string_to_array(current_setting('app.tenant_ids', true), ',');
  chain record;
  head audit.heads;
  moment timestamptz;
  moment_text text;
  name text;
  link bytea;
  previous bytea[];
  hashes bytea[];
  entry text;
  place bigint;
BEGIN
  FOR chain IN
    SELECT n.tenant_id, n.service, array_agg(n.entry::text ORDER BY n.ord) AS texts
    FROM ROWS FROM (json_to_recordset(entries) AS (tenant_id text, service text, entry json)) WITH ORDINALITY AS n (tenant_id, service, entry, ord)
    GROUP BY n.tenant_id, n.service ORDER BY n.tenant_id COLLATE "C", n.service COLLATE "C"
  LOOP
    IF allowed IS NULL OR NOT chain.tenant_id = ANY (allowed) THEN
      RAISE insufficient_privilege USING MESSAGE = format('This transaction does not act for tenant %s and may not append to its audit chain.', chain.tenant_id);
    END IF;
    SELECT h.* INTO head FROM audit.heads h WHERE h.tenant_id = chain.tenant_id AND h.service = chain.service FOR UPDATE;
    IF NOT FOUND THEN
      INSERT INTO audit.heads AS h (tenant_id, service, sequence, hash, recorded_at)
        VALUES (chain.tenant_id, chain.service, 0, decode(repeat('00', 32), 'hex'), '-infinity')
        ON CONFLICT ON CONSTRAINT heads_pkey DO NOTHING;
      SELECT h.* INTO head FROM audit.heads h WHERE h.tenant_id = chain.tenant_id AND h.service = chain.service FOR UPDATE;
    END IF;
    moment := greatest(clock_timestamp(), head.recorded_at);
    moment_text := to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    name := chain.tenant_id || E'\\n' || chain.service || E'\\n';
    place := head.sequence;
    link := head.hash;
    previous := '{}';
    hashes := '{}';
    FOREACH entry IN ARRAY chain.texts LOOP
      place := place + 1;
      previous := previous || link;
      link := sha256(link || convert_to(name || place || E'\\n' || moment_text || E'\\n' || entry, 'UTF8'));
      hashes := hashes || link;
    END LOOP;
    INSERT INTO audit.records (tenant_id, service, sequence, recorded_at, previous_hash, hash, entry)
      SELECT chain.tenant_id, chain.service, head.sequence + n.ord, moment, n.previous_hash, n.hash, n.entry::json
      FROM unnest(previous, hashes, chain.texts) WITH ORDINALITY AS n (previous_hash, hash, entry, ord);
    UPDATE audit.heads h SET sequence = place, hash = link, recorded_at = moment WHERE h.tenant_id = chain.tenant_id AND h.service = chain.service;
    tenant_id := chain.tenant_id; service := chain.service; sequence := place; recorded_at := moment_text;
    previous_hash := encode(head.hash, 'hex'); hash := encode(link, 'hex');
    RETURN NEXT;
  END LOOP;
END $$`;

/**
 * The first sequence of a chain whose moment is not before `at`, found by halving: moments rise with the sequence, so
 * time needs no index of its own.
 */
const PLACE_OF = `
CREATE FUNCTION audit.place_of(tenant text, chain text, at timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  low bigint := 1;
  high bigint := coalesce((SELECT h.sequence + 1 FROM audit.heads h WHERE h.tenant_id = tenant AND h.service = chain), 1);
  middle bigint;
BEGIN
  WHILE low < high LOOP
    middle := (low + high) / 2;
    IF (SELECT r.recorded_at FROM audit.records r WHERE r.tenant_id = tenant AND r.service = chain AND r.sequence >= middle ORDER BY r.sequence LIMIT 1) < at
      THEN low := middle + 1; ELSE high := middle; END IF;
  END LOOP;
  RETURN low;
END $$`;

/** Also for the owner, who has every right and may be in a hurry. */
const REFUSE = `
CREATE FUNCTION audit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE insufficient_privilege USING MESSAGE = format('%s.%s is append-only: %s is refused.', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP);
END $$`;

/** A condition, and no function that looks: heads move with every append. */
const ONLY_FORWARD = `
CREATE TRIGGER only_forward BEFORE UPDATE ON audit.heads FOR EACH ROW
  WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.service <> OLD.service OR NEW.sequence <= OLD.sequence) EXECUTE FUNCTION audit.refuse()`;

export const auditMigrations: readonly Migration[] = [
  {
    name: '0001_audit',
    up: [
      RECORDS,
      HEADS,
      ...tenantTable('audit.records', { grants: ['SELECT'], platform: true }),
      ...tenantTable('audit.heads', { grants: ['SELECT'], platform: true }),
      APPEND,
      'REVOKE ALL ON FUNCTION audit.append(json) FROM PUBLIC',
      `GRANT EXECUTE ON FUNCTION audit.append(json) TO ${APPLICATION_ROLE}`,
      PLACE_OF,
      `GRANT EXECUTE ON FUNCTION audit.place_of(text, text, timestamptz) TO ${APPLICATION_ROLE}`,
      REFUSE,
      'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.records FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse()',
      'CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit.heads FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse()',
      ONLY_FORWARD,
    ],
  },
];
