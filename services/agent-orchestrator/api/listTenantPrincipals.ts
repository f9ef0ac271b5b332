/** GET /v1/admin/tenants/{tenant_id}/principals: of any tenant, in order of their ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const listTenantPrincipals = (principals: Principals): AgentOrchestratorHandlers['listTenantPrincipals'] =>
  async ({ path, query, auth, context }) => {
    const found = await principals.list(auth, path.tenant_id, query);
    return { status: 200, body: { principals: found.principals.map(principalToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: path.tenant_id } };
  };
