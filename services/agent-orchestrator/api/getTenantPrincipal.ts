/** GET /v1/admin/tenants/{tenant_id}/principals/{principal_id}: of any tenant. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const getTenantPrincipal = (principals: Principals): AgentOrchestratorHandlers['getTenantPrincipal'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { principal: principalToWire(await principals.get(auth, path.tenant_id, path.principal_id)), correlation_id: context.correlationId, tenant_id: path.tenant_id } });
