/**
 * Versions of agents; what runs are found by besides their id; the right to delete what is past its time.
 *
 * A facet is one searchable thing about a run: a label, or the run that called it. Facets stand in a table of their own
 * and not in an index over the runs, so that a run without labels and without a parent costs nothing more, and the many
 * updates of a run under way touch no index of theirs.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0005_agents_and_runs',
  up: [
    `CREATE TABLE orchestrator.agent_versions (
       tenant_id text COLLATE "C" NOT NULL,
       agent_id text COLLATE "C" NOT NULL,
       version integer NOT NULL CHECK (version >= 1),
       definition json NOT NULL,
       created_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, agent_id, version)
     )`,
    // Forced row-level security holds for the table's owner as well, who is to see every tenant's agents just here.
    'ALTER TABLE orchestrator.agents NO FORCE ROW LEVEL SECURITY',
    `INSERT INTO orchestrator.agent_versions (tenant_id, agent_id, version, definition, created_at)
       SELECT tenant_id, agent_id, CASE WHEN definition ->> 'version' ~ '^[1-9][0-9]{0,8}$' THEN (definition ->> 'version')::int ELSE 1 END, definition, updated_at
       FROM orchestrator.agents`,
    ...tenantTable('orchestrator.agents', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    ...tenantTable('orchestrator.agent_versions', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    `CREATE TABLE orchestrator.run_facets (
       tenant_id text COLLATE "C" NOT NULL,
       run_id text COLLATE "C" NOT NULL,
       -- A label as its key, U+001F and its value; a parent as U+001F and the parent's id.
       facet text COLLATE "C" NOT NULL,
       PRIMARY KEY (tenant_id, run_id, facet)
     )`,
    `CREATE INDEX run_facets_facet ON orchestrator.run_facets (tenant_id, facet, run_id)`,
    ...tenantTable('orchestrator.run_facets', { scheduler: true, grants: ['SELECT', 'INSERT', 'DELETE'] }),
    // Most runs complete, so listing those by id finds them at once; the ends that are rare need a way of their own.
    `CREATE INDEX runs_tenant_failed ON orchestrator.runs (tenant_id, run_id) WHERE status = 'failed'`,
    `CREATE INDEX runs_tenant_canceled ON orchestrator.runs (tenant_id, run_id) WHERE status = 'canceled'`,
    // Rows come in the order of their expiry, so a summary of each stretch of the table is all that finding the old needs.
    `CREATE INDEX idempotency_keys_expiry ON orchestrator.idempotency_keys USING brin (expires_at) WITH (pages_per_range = 32)`,
    ...tenantTable('orchestrator.idempotency_keys', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    'GRANT DELETE ON orchestrator.runs, orchestrator.run_events TO agentos_app',
  ],
};
