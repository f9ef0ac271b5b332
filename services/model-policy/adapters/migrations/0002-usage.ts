/**
 * Budgets, what processes have set aside of them, and the ledger.
 *
 * `budgets` is one row a budget and window; `reserved` is the sum of its leases. A lease is what one process has set
 * aside of one budget: its calls under way, and some room for the next ones. Leases of a process whose row in
 * `usage_replicas` has run out go back to their budgets.
 */
import type { Migration } from '../../../platform/db/migrate.ts';
import { sharedTable, tenantTable } from '../../../platform/db/tenant-table.ts';

const KEY = `tenant_id text COLLATE "C" NOT NULL,
  scope text COLLATE "C" NOT NULL CHECK (scope IN ('tenant', 'agent', 'principal')),
  scope_id text COLLATE "C" NOT NULL,
  time_window text COLLATE "C" NOT NULL CHECK (time_window IN ('minute', 'hour', 'day', 'month')),
  window_start timestamptz NOT NULL`;
const KEY_COLUMNS = 'tenant_id, scope, scope_id, time_window, window_start';

export const usageMigration: Migration = {
  name: '0002_usage',
  up: [
    `CREATE TABLE model_policy.budgets (
      ${KEY},
      spent_tokens bigint NOT NULL DEFAULT 0 CHECK (spent_tokens >= 0),
      reserved_tokens bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
      spent_micro_usd bigint NOT NULL DEFAULT 0 CHECK (spent_micro_usd >= 0),
      reserved_micro_usd bigint NOT NULL DEFAULT 0 CHECK (reserved_micro_usd >= 0),
      PRIMARY KEY (${KEY_COLUMNS})
    ) WITH (fillfactor = 50)`,
    `CREATE TABLE model_policy.usage_replicas (
      replica_id text COLLATE "C" PRIMARY KEY,
      alive_until timestamptz NOT NULL,
      -- The last taking of leases that was committed, so that a commit without an answer can be asked after.
      last_taking text
    ) WITH (fillfactor = 50)`,
    `CREATE TABLE model_policy.usage_leases (
      ${KEY},
      replica_id text COLLATE "C" NOT NULL,
      tokens bigint NOT NULL CHECK (tokens >= 0),
      micro_usd bigint NOT NULL CHECK (micro_usd >= 0),
      -- False: its process may hold some of it without a call that needs it, and can be asked to give that back.
      tight boolean NOT NULL,
      taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (${KEY_COLUMNS}, replica_id)
    ) WITH (fillfactor = 50)`,
    'CREATE INDEX usage_leases_replica ON model_policy.usage_leases (replica_id)',
    `CREATE TABLE model_policy.usage_entries (
      tenant_id text COLLATE "C" NOT NULL,
      entry_id text COLLATE "C" NOT NULL,
      at timestamptz NOT NULL,
      request_id text NOT NULL,
      run_id text,
      agent_id text,
      principal_id text NOT NULL,
      operation text NOT NULL,
      model text NOT NULL,
      backend text NOT NULL,
      input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
      output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
      micro_usd bigint CHECK (micro_usd >= 0),
      state text NOT NULL CHECK (state IN ('settled', 'partial', 'released')),
      fallback_used boolean NOT NULL,
      estimated boolean NOT NULL,
      PRIMARY KEY (tenant_id, entry_id)
    )`,
    `CREATE TABLE model_policy.request_claims (
      tenant_id text COLLATE "C" NOT NULL,
      request_id text COLLATE "C" NOT NULL,
      request_hash text NOT NULL,
      replica_id text COLLATE "C" NOT NULL,
      done boolean NOT NULL DEFAULT false,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (tenant_id, request_id)
    )`,
    'CREATE INDEX request_claims_expiry ON model_policy.request_claims (expires_at)',
    `CREATE TABLE model_policy.request_rates (
      tenant_id text COLLATE "C" PRIMARY KEY,
      arrival_ms double precision NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)`,
    ...tenantTable('model_policy.budgets', { scheduler: true }),
    ...tenantTable('model_policy.usage_leases', { scheduler: true }),
    ...tenantTable('model_policy.usage_entries', { scheduler: true, grants: ['SELECT', 'INSERT'] }),
    ...tenantTable('model_policy.request_claims', { scheduler: true }),
    ...tenantTable('model_policy.request_rates'),
    ...sharedTable('model_policy.usage_replicas'),
  ],
};
