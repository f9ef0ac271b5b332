/** GET /v1/principals: of the caller's tenant, in order of their ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const listPrincipals = (principals: Principals): AgentOrchestratorHandlers['listPrincipals'] =>
  async ({ query, auth, context }) => {
    const found = await principals.list(auth, auth.tenant_id, query);
    return { status: 200, body: { principals: found.principals.map(principalToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
