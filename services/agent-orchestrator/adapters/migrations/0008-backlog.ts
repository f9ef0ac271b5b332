/**
 * What fairness and backpressure need of all tenants at once: the places that each tenant's newest runs were given
 * (by priority: low, normal, high), and how many runs wait on the node.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { seesAllTenants } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0008_backlog',
  up: [
    `ALTER TABLE orchestrator.tenant_runs ADD COLUMN last_ranks bigint[] NOT NULL DEFAULT '{-1,-1,-1}'`,
    // A tenant's transaction sees its own rows alone; this function gives away one number and nothing else. It counts no
    // further than it is asked to, so that looking costs no more than the limit that is looked for.
    seesAllTenants('orchestrator.queued_runs(at_most integer)', "SELECT count(*) FROM (SELECT FROM orchestrator.runs WHERE status = 'queued' LIMIT at_most) q"),
    `GRANT EXECUTE ON FUNCTION orchestrator.queued_runs(integer) TO agentos_app`,
  ],
};
