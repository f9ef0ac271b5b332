/** DELETE /v1/admin/tenants/{tenant_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const deleteTenant = (directory: DirectoryPort): AgentOrchestratorHandlers['deleteTenant'] =>
  async ({ path, auth, context }) => {
    await directory.deleteTenant(auth, path.tenant_id);
    return { status: 200, body: { deleted: path.tenant_id, correlation_id: context.correlationId } };
  };
