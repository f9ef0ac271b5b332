/** PUT /v1/principals/{principal_id}: creates or replaces; its keys lose what its roles no longer hold. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const putPrincipal = (principals: Principals): AgentOrchestratorHandlers['putPrincipal'] =>
  async ({ path, body, auth, context }) => {
    const { principal, created } = await principals.put(auth, auth.tenant_id, path.principal_id, body);
    return { status: created ? 201 : 200, body: { principal: principalToWire(principal), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
