/**
 * Runs, their events, and what admission and idempotency need. Every key starts with the tenant: isolation now, a
 * shard key later.
 *
 * Columns that hold objects are `json`, not `jsonb`: they are stored and given back whole, members stay in the order
 * of the contract, and neither side pays for a second representation.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { seesAllTenants, tenantTable } from '../../../platform/db/tenant-table.ts';

const RUNS = `
CREATE TABLE orchestrator.runs (
  tenant_id text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  agent_version text NOT NULL,
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'completed', 'failed', 'canceled')),
  created_at timestamptz NOT NULL,
  started_at timestamptz,
  completed_at timestamptz,
  correlation_id text NOT NULL,
  traceparent text NOT NULL,
  principal_id text COLLATE "C" NOT NULL,
  idempotency_key text,
  -- Options, tooling and labels as they were given.
  request json NOT NULL,
  -- Who asked, with what, under which definition: written once, read by workers alone.
  work json NOT NULL,
  steps_total integer NOT NULL DEFAULT 0,
  tool_calls_total integer NOT NULL DEFAULT 0,
  model_calls_total integer NOT NULL DEFAULT 0,
  output json,
  error json,
  last_seq integer NOT NULL DEFAULT 1 CHECK (last_seq >= 1),
  step integer NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  lease_token text,
  lease_owner text,
  lease_until timestamptz,
  priority smallint NOT NULL,
  queue_rank bigint NOT NULL,
  available_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, run_id),
  CHECK ((status = 'running') = (lease_token IS NOT NULL)),
  CHECK ((status IN ('completed', 'failed', 'canceled')) = (completed_at IS NOT NULL))
) WITH (fillfactor = 60)`;

const RUN_EVENTS = `
CREATE TABLE orchestrator.run_events (
  tenant_id text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  sequence integer NOT NULL CHECK (sequence >= 1),
  event_id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  time timestamptz NOT NULL,
  step_id text,
  span_id text NOT NULL,
  payload json NOT NULL,
  PRIMARY KEY (tenant_id, run_id, sequence)
)`;

export const migration: Migration = {
  name: '0001_runs',
  up: [
    RUNS,
    // Claims take the smallest rank of all tenants, then the oldest lease that has run out.
    `CREATE INDEX runs_queued ON orchestrator.runs (queue_rank) WHERE status = 'queued'`,
    `CREATE INDEX runs_leased ON orchestrator.runs (lease_until) WHERE status = 'running'`,
    `CREATE INDEX runs_tenant_queued ON orchestrator.runs (tenant_id, priority, queue_rank) WHERE status = 'queued'`,
    `CREATE INDEX runs_tenant_agent ON orchestrator.runs (tenant_id, agent_id, run_id)`,
    RUN_EVENTS,
    `CREATE UNIQUE INDEX run_events_event_id ON orchestrator.run_events (tenant_id, event_id)`,
    `CREATE UNIQUE INDEX run_events_one_end ON orchestrator.run_events (tenant_id, run_id)
       WHERE type IN ('agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled')`,
    `CREATE TABLE orchestrator.tenant_runs (
       tenant_id text COLLATE "C" PRIMARY KEY,
       active integer NOT NULL DEFAULT 0 CHECK (active >= 0),
       arrival_ms double precision NOT NULL DEFAULT 0
     ) WITH (fillfactor = 50)`,
    `CREATE TABLE orchestrator.idempotency_keys (
       tenant_id text COLLATE "C" NOT NULL,
       principal_id text COLLATE "C" NOT NULL,
       agent_id text COLLATE "C" NOT NULL,
       key text NOT NULL,
       request_hash text NOT NULL,
       run_id text COLLATE "C" NOT NULL,
       created_at timestamptz NOT NULL,
       expires_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, principal_id, agent_id, key)
     )`,
    ...tenantTable('orchestrator.runs', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE'] }),
    ...tenantTable('orchestrator.run_events', { scheduler: true, grants: ['SELECT', 'INSERT'] }),
    ...tenantTable('orchestrator.tenant_runs', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE'] }),
    ...tenantTable('orchestrator.idempotency_keys', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    // A tenant's transaction sees its own rows alone, yet a new rank is measured against the queue of all tenants.
    // This function gives away one number and nothing else.
    seesAllTenants('orchestrator.smallest_queued_rank()', "SELECT min(queue_rank) FROM orchestrator.runs WHERE status = 'queued'"),
    `GRANT EXECUTE ON FUNCTION orchestrator.smallest_queued_rank() TO agentos_app`,
  ],
};
