/**
 * Webhooks for run events, and their deliveries.
 *
 * Deliveries are made by a trigger, in the statement that stores the events: whatever appends events, now or later,
 * cannot forget them, and an event has exactly one delivery for each webhook however often its write is repeated. It
 * runs once a statement over all events of a flush, and ends at one probe of an index for each tenant of the flush
 * where none of them has a webhook: some tens of microseconds, no round trip, no commit. It runs as whoever writes, so
 * row-level security shows it the webhooks of these tenants alone.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

const WEBHOOKS = `
CREATE TABLE orchestrator.webhooks (
  tenant_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  url text NOT NULL,
  event_types text[] NOT NULL,
  agent_ids text[],
  enabled boolean NOT NULL,
  description text,
  -- Both sealed (platform/secrets).
  secret text NOT NULL,
  previous_secret text,
  previous_secret_until timestamptz,
  principal_id text COLLATE "C" NOT NULL,
  idempotency_key text,
  request_hash text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  consecutive_failures integer NOT NULL DEFAULT 0,
  disabled_reason text,
  paused_until timestamptz,
  lease_token text,
  lease_owner text,
  -- Stays when a lease is given back, so that webhooks take turns.
  lease_until timestamptz,
  PRIMARY KEY (tenant_id, webhook_id)
) WITH (fillfactor = 50)`;

const DELIVERIES = `
CREATE TABLE orchestrator.webhook_deliveries (
  tenant_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  sequence integer NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts integer NOT NULL DEFAULT 0,
  last_status_code integer,
  last_error text,
  created_at timestamptz NOT NULL,
  next_attempt_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, webhook_id, run_id, sequence),
  CHECK ((state = 'pending') = (ended_at IS NULL))
) WITH (fillfactor = 80)`;

// OFFSET 0 keeps the order, from the events to the webhooks of their tenants: the policy's conditions would let a planner
// read everybody's webhooks instead.
const ENQUEUE = `
CREATE FUNCTION orchestrator.enqueue_webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM (SELECT DISTINCT a.tenant_id FROM added a) t CROSS JOIN LATERAL (
    SELECT FROM orchestrator.webhooks w WHERE w.tenant_id = t.tenant_id AND w.enabled OFFSET 0) w) THEN RETURN NULL; END IF;
  INSERT INTO orchestrator.webhook_deliveries (tenant_id, webhook_id, run_id, sequence, event_id, type, created_at, next_attempt_at)
  SELECT e.tenant_id, w.webhook_id, e.run_id, e.sequence, e.event_id, e.type, e.time, e.time
  FROM added e CROSS JOIN LATERAL (
    SELECT w.webhook_id FROM orchestrator.webhooks w
    WHERE w.tenant_id = e.tenant_id AND w.enabled
      AND EXISTS (SELECT FROM unnest(w.event_types) p
        WHERE p = '*' OR p = e.type OR (right(p, 2) = '.*' AND starts_with(e.type, left(p, -1))))
      AND (w.agent_ids IS NULL OR (SELECT r.agent_id FROM orchestrator.runs r
        WHERE r.tenant_id = e.tenant_id AND r.run_id = e.run_id) = ANY (w.agent_ids))
    OFFSET 0) w;
  RETURN NULL;
END $$`;

export const migration: Migration = {
  name: '0006_webhooks',
  up: [
    WEBHOOKS,
    `CREATE INDEX webhooks_enabled ON orchestrator.webhooks (tenant_id) WHERE enabled`,
    `CREATE UNIQUE INDEX webhooks_idempotency ON orchestrator.webhooks (tenant_id, principal_id, idempotency_key) WHERE idempotency_key IS NOT NULL`,
    DELIVERIES,
    `CREATE INDEX webhook_deliveries_pending ON orchestrator.webhook_deliveries (tenant_id, webhook_id, run_id, sequence) WHERE state = 'pending'`,
    `CREATE INDEX webhook_deliveries_ended ON orchestrator.webhook_deliveries (ended_at) WHERE state <> 'pending'`,
    ...tenantTable('orchestrator.webhooks', { scheduler: true }),
    ...tenantTable('orchestrator.webhook_deliveries', { scheduler: true }),
    ENQUEUE,
    `CREATE TRIGGER run_events_webhooks AFTER INSERT ON orchestrator.run_events
       REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.enqueue_webhook_deliveries()`,
  ],
};
