/** PUT /v1/admin/tenants/{tenant_id}: as PATCH; both verbs are in use. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const replaceTenant = (directory: DirectoryPort): AgentOrchestratorHandlers['replaceTenant'] =>
  async ({ path, body, auth, context }) => {
    const tenant = await directory.updateTenant(auth, path.tenant_id, body);
    return { status: 200, body: { tenant, correlation_id: context.correlationId } };
  };
