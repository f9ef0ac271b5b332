/** Schema `directory`: tenants, principals, API keys. Every service of a node runs these; whoever comes first applies them. */
import type { Migration } from '../db/migrate.ts';
import { tenantTable } from '../db/tenant-table.ts';

export const DIRECTORY_SCHEMA = 'directory';

export const directoryMigrations: readonly Migration[] = [
  {
    name: '0001_directory',
    up: [
      `CREATE TABLE directory.tenants (
        tenant_id text PRIMARY KEY,
        name text NOT NULL,
        plan_tier text NOT NULL,
        status text NOT NULL,
        default_policy_id text,
        entitlements jsonb,
        quotas jsonb,
        metadata jsonb,
        policy jsonb,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`,
      `CREATE TABLE directory.principals (
        tenant_id text NOT NULL,
        principal_id text NOT NULL,
        principal_type text NOT NULL CHECK (principal_type IN ('user', 'service')),
        display_name text NOT NULL,
        roles jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant_id, principal_id)
      )`,
      `CREATE TABLE directory.api_keys (
        tenant_id text NOT NULL,
        key_id text NOT NULL,
        principal_id text NOT NULL,
        principal_type text NOT NULL CHECK (principal_type IN ('user', 'service')),
        scopes jsonb NOT NULL,
        roles jsonb NOT NULL,
        secret_hash text NOT NULL CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        PRIMARY KEY (tenant_id, key_id)
      )`,
      // A presented key names no tenant, so it is found by its id alone.
      'CREATE INDEX api_keys_by_key_id ON directory.api_keys (key_id)',
      ...tenantTable('directory.tenants', { platform: true }),
      ...tenantTable('directory.principals', { platform: true }),
      ...tenantTable('directory.api_keys', { platform: true }),
    ],
  },
];
