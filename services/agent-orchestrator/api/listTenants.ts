/** GET /v1/admin/tenants: in order of their ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const listTenants = (directory: DirectoryPort): AgentOrchestratorHandlers['listTenants'] =>
  async ({ query, auth, context }) => {
    const { tenants, hasMore } = await directory.listTenants(auth, query);
    return { status: 200, body: { tenants: [...tenants], has_more: hasMore, correlation_id: context.correlationId } };
  };
