/** Tables of Model Policy, in the schema `model_policy`. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';
import { usageMigration } from './0002-usage.ts';
import { decisionsMigration } from './0004-decisions.ts';
import { journalsMigration } from './0005-journals.ts';

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
  usageMigration,
  {
    name: '0003_policy_versions',
    up: ['ALTER TABLE model_policy.policy_rules ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0), ADD COLUMN description text'],
  },
  decisionsMigration,
  journalsMigration,
];
