/** PUT /v1/admin/tenants/{tenant_id}/principals/{principal_id}: creates or replaces; its keys lose what its roles no longer hold. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const putTenantPrincipal = (principals: Principals): AgentOrchestratorHandlers['putTenantPrincipal'] =>
  async ({ path, body, auth, context }) => {
    const { principal, created } = await principals.put(auth, path.tenant_id, path.principal_id, body);
    return { status: created ? 201 : 200, body: { principal: principalToWire(principal), correlation_id: context.correlationId, tenant_id: path.tenant_id } };
  };
