/** Events of runs that execute elsewhere, and which of those runs this node follows. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0003_replicas',
  up: [
    // Writers of one run queue at its row here, so that what is contiguous is counted by one of them at a time.
    `CREATE TABLE federation.replica_runs (
       tenant_id text COLLATE "C" NOT NULL,
       run_id text COLLATE "C" NOT NULL,
       source_stack_id text COLLATE "C" NOT NULL,
       contiguous_to bigint NOT NULL DEFAULT 0,
       ended boolean NOT NULL DEFAULT false,
       stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       PRIMARY KEY (tenant_id, run_id)
     ) WITH (fillfactor = 70)`,
    `CREATE INDEX replica_runs_stored ON federation.replica_runs (stored_at)`,
    // `event` is json and not jsonb: it is given back as it came, its members in the order of the contract.
    `CREATE TABLE federation.replica_events (
       tenant_id text COLLATE "C" NOT NULL,
       run_id text COLLATE "C" NOT NULL,
       sequence bigint NOT NULL CHECK (sequence >= 0),
       event_id text COLLATE "C" NOT NULL,
       digest text COLLATE "C" NOT NULL,
       event json NOT NULL,
       PRIMARY KEY (tenant_id, run_id, sequence)
     )`,
    `CREATE UNIQUE INDEX replica_events_event_id ON federation.replica_events (tenant_id, event_id)`,
    // `due_at` of a run that somebody follows is when their lease runs out.
    `CREATE TABLE federation.replications (
       tenant_id text COLLATE "C" NOT NULL,
       run_id text COLLATE "C" NOT NULL,
       target_stack_id text COLLATE "C" NOT NULL,
       due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
       lease_token text,
       failures integer NOT NULL DEFAULT 0,
       finished_at timestamptz,
       PRIMARY KEY (tenant_id, run_id)
     ) WITH (fillfactor = 70)`,
    `CREATE INDEX replications_due ON federation.replications (due_at) WHERE finished_at IS NULL`,
    ...tenantTable('federation.replica_runs', { scheduler: true }),
    ...tenantTable('federation.replica_events', { scheduler: true, grants: ['SELECT', 'INSERT', 'DELETE'] }),
    ...tenantTable('federation.replications', { scheduler: true }),
  ],
};
