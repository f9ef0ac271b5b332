/** PATCH /v1/admin/tenants/{tenant_id}: sets the members that are present. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const updateTenant = (directory: DirectoryPort): AgentOrchestratorHandlers['updateTenant'] =>
  async ({ path, body, auth, context }) => {
    const tenant = await directory.updateTenant(auth, path.tenant_id, body);
    return { status: 200, body: { tenant, correlation_id: context.correlationId } };
  };
