/** DELETE /v1/admin/tenants/{tenant_id}/principals/{principal_id}: its keys are revoked with it. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';

export const deleteTenantPrincipal = (principals: Principals): AgentOrchestratorHandlers['deleteTenantPrincipal'] =>
  async ({ path, auth, context }) => {
    const { revokedKeys } = await principals.delete(auth, path.tenant_id, path.principal_id);
    return { status: 200, body: { deleted: path.principal_id, keys_revoked: revokedKeys, correlation_id: context.correlationId, tenant_id: path.tenant_id } };
  };
