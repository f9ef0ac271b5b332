/** What a tenant brings along: webhook tools, MCP servers, and how often their tools were called. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { tenantTable } from '../../../platform/db/tenant-table.ts';

export const migration: Migration = {
  name: '0003_tools',
  up: [
    `CREATE TABLE orchestrator.tools (
       tenant_id text COLLATE "C" NOT NULL,
       tool_id text COLLATE "C" NOT NULL,
       definition json NOT NULL,
       sealed_secret text NOT NULL,
       created_at timestamptz NOT NULL,
       updated_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, tool_id)
     )`,
    `CREATE TABLE orchestrator.mcp_servers (
       tenant_id text COLLATE "C" NOT NULL,
       server_id text COLLATE "C" NOT NULL,
       definition json NOT NULL,
       sealed_headers text,
       -- As the server described them when it was last asked.
       tools json NOT NULL DEFAULT '[]',
       state text NOT NULL DEFAULT 'unknown' CHECK (state IN ('connected', 'unreachable', 'unknown')),
       error text,
       checked_at timestamptz,
       created_at timestamptz NOT NULL,
       updated_at timestamptz NOT NULL,
       PRIMARY KEY (tenant_id, server_id)
     )`,
    // One row a limit (GCRA): when the next call would arrive if calls came evenly.
    `CREATE TABLE orchestrator.tool_rates (
       tenant_id text COLLATE "C" NOT NULL,
       bucket text COLLATE "C" NOT NULL,
       arrival_ms double precision NOT NULL,
       PRIMARY KEY (tenant_id, bucket)
     ) WITH (fillfactor = 50)`,
    ...tenantTable('orchestrator.tools'),
    ...tenantTable('orchestrator.mcp_servers'),
    ...tenantTable('orchestrator.tool_rates'),
  ],
};
