/**
 * An index for each question about runs, and none that another question could take.
 *
 * Both indexes of waiting runs had `status = 'queued'` as their condition, so either would do for either question, and
 * where statistics knew of no waiting run, or of one tenant's alone, the planner looked for a tenant's newest run by
 * walking the queue of all. A planner uses a partial index only where the statement itself says what the index says:
 * so the tenants' index says in other words that a run waits (the table's checks make both the same), and nothing but
 * it fits a statement that says it in these.
 *
 * An agent's index begins with the tenant as the primary key does, and a plan made while the table was empty took it for
 * finding runs by their id; kept, such a plan reads a tenant's whole stretch of it once there are many. Its condition holds
 * for every run and is met by statements that name an agent, so that it is of use to these alone.
 *
 * The release before this one runs on it; while both run, the older one's creations look for a tenant's newest run as
 * they did where the planner chose badly.
 */
import type { Migration } from '../../../platform/db/migrate.ts';

export const migration: Migration = {
  name: '0010_waiting_runs',
  up: [
    'CREATE INDEX runs_tenant_waiting ON orchestrator.runs (tenant_id, priority, queue_rank) WHERE lease_token IS NULL AND completed_at IS NULL',
    'DROP INDEX orchestrator.runs_tenant_queued',
    'DROP INDEX orchestrator.runs_tenant_agent',
    'CREATE INDEX runs_tenant_agent ON orchestrator.runs (tenant_id, agent_id, run_id) WHERE agent_id IS NOT NULL',
  ],
};
