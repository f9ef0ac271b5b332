/** Agents of a tenant, and its namespaced memory. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0002_agents_and_memory',
  up: [
    `CREATE TABLE orchestrator.agents (
       tenant_id text COLLATE "C" NOT NULL,
       agent_id text COLLATE "C" NOT NULL,
       status text NOT NULL CHECK (status IN ('active', 'inactive', 'deprecated')),
       definition json NOT NULL,
       created_at timestamptz NOT NULL,
       updated_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, agent_id)
     )`,
    `CREATE TABLE orchestrator.memory_items (
       tenant_id text COLLATE "C" NOT NULL,
       namespace text COLLATE "C" NOT NULL,
       key text COLLATE "C" NOT NULL,
       value json NOT NULL,
       metadata json NOT NULL,
       -- Lower-cased words of key and value, one space before and after each, made by the adapter.
       words text NOT NULL,
       updated_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, namespace, key)
     )`,
    `CREATE INDEX memory_items_words ON orchestrator.memory_items USING gin (to_tsvector('simple', words))`,
    ...tenantTable('orchestrator.agents', { grants: ['SELECT', 'INSERT', 'UPDATE'] }),
    ...tenantTable('orchestrator.memory_items', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
  ],
};
