/** The index of forwards: where runs went that a tenant sent to other nodes. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0002_forwards',
  up: [
    // What a run is to do is not kept: whoever repeats a forward sends it again, and the node that runs it has it.
    `CREATE TABLE federation.forwards (
       tenant_id text COLLATE "C" NOT NULL,
       forward_id text COLLATE "C" NOT NULL,
       principal_id text COLLATE "C" NOT NULL,
       agent_id text COLLATE "C" NOT NULL,
       target_stack_id text COLLATE "C" NOT NULL,
       correlation_id text NOT NULL,
       created_at timestamptz NOT NULL,
       idempotency_key text,
       request_hash text,
       key_expires_at timestamptz,
       remote_run_id text COLLATE "C",
       remote_events_url text,
       remote_status text,
       completed_at timestamptz,
       PRIMARY KEY (tenant_id, forward_id),
       CHECK ((idempotency_key IS NULL) = (request_hash IS NULL) AND (idempotency_key IS NULL) = (key_expires_at IS NULL)),
       CHECK ((remote_run_id IS NULL) = (completed_at IS NULL) AND (remote_run_id IS NULL) = (remote_events_url IS NULL) AND (remote_run_id IS NULL) = (remote_status IS NULL))
     ) WITH (fillfactor = 80)`,
    `CREATE UNIQUE INDEX forwards_key ON federation.forwards (tenant_id, principal_id, agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL`,
    `CREATE UNIQUE INDEX forwards_run ON federation.forwards (tenant_id, remote_run_id) WHERE remote_run_id IS NOT NULL`,
    `CREATE INDEX forwards_created ON federation.forwards (created_at)`,
    ...tenantTable('federation.forwards', { scheduler: true }),
  ],
};
