/** Decision traces, and roll-backs of canaries, which belong to the node and to no tenant. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { sharedTable, tenantTable } from '../../../platform/db/tenant-table.ts';

export const decisionsMigration: Migration = {
  name: '0004_decisions',
  up: [
    `CREATE TABLE model_policy.decisions (
      tenant_id text COLLATE "C" NOT NULL,
      decision_id text COLLATE "C" NOT NULL,
      request_id text COLLATE "C" NOT NULL,
      at timestamptz NOT NULL,
      decision text NOT NULL,
      -- The model that served; null where none did.
      model text,
      record jsonb NOT NULL,
      PRIMARY KEY (tenant_id, decision_id)
    )`,
    'CREATE INDEX decisions_request ON model_policy.decisions (tenant_id, request_id, decision_id)',
    // Rows come in the order of time, so this finds the old ones at next to no cost.
    'CREATE INDEX decisions_at ON model_policy.decisions USING brin (at)',
    `CREATE TABLE model_policy.canary_roll_backs (
      name text COLLATE "C" NOT NULL,
      version text COLLATE "C" NOT NULL,
      reason text NOT NULL,
      at timestamptz NOT NULL,
      PRIMARY KEY (name, version)
    )`,
    ...tenantTable('model_policy.decisions', { scheduler: true, grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
    ...sharedTable('model_policy.canary_roll_backs', { grants: ['SELECT', 'INSERT'] }),
  ],
};
