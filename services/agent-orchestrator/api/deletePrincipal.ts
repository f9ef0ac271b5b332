/** DELETE /v1/principals/{principal_id}: its keys are revoked with it. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';

export const deletePrincipal = (principals: Principals): AgentOrchestratorHandlers['deletePrincipal'] =>
  async ({ path, auth, context }) => {
    const { revokedKeys } = await principals.delete(auth, auth.tenant_id, path.principal_id);
    return { status: 200, body: { deleted: path.principal_id, keys_revoked: revokedKeys, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
