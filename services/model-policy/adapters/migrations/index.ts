/** Tables of Model Policy, in the schema `model_policy`. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const MODEL_POLICY_SCHEMA = 'model_policy';

export const modelPolicyMigrations: readonly Migration[] = [
  {
    name: '0001_policy_rules',
    up: [
      `CREATE TABLE model_policy.policy_rules (
        tenant_id text NOT NULL,
        policy_id text NOT NULL,
        rules jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, policy_id)
      )`,
      ...tenantTable('model_policy.policy_rules'),
    ],
  },
];
