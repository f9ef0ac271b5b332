/** The migrations of every service of a node, in the order in which the services start. */
import { migrations as orchestrator, SCHEMA as ORCHESTRATOR_SCHEMA } from '../../services/agent-orchestrator/adapters/migrations/index.ts';
import { federationMigrations, FEDERATION_SCHEMA } from '../../services/federation/adapters/migrations/index.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../services/model-policy/adapters/migrations/index.ts';
import { auditMigrations, AUDIT_SCHEMA } from '../../services/platform/audit/audit-migrations.ts';
import { directoryMigrations, DIRECTORY_SCHEMA } from '../../services/platform/tenancy/directory-migrations.ts';
import type { MigrationSet } from './database.ts';

/** Every service that writes records what it did. */
export const AUDIT_SET: MigrationSet = { schema: AUDIT_SCHEMA, migrations: auditMigrations };

export const nodeMigrations: readonly MigrationSet[] = [
  AUDIT_SET,
  { schema: DIRECTORY_SCHEMA, migrations: directoryMigrations },
  { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations },
  { schema: ORCHESTRATOR_SCHEMA, migrations: orchestrator },
  { schema: FEDERATION_SCHEMA, migrations: federationMigrations },
];
