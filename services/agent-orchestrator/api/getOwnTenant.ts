/** GET /v1/tenant: the caller's own, with the quotas that hold for it. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';

export const getOwnTenant = (tenants: Tenants): AgentOrchestratorHandlers['getOwnTenant'] =>
  async ({ auth, context }) => ({ status: 200, body: { tenant: await tenants.own(auth), correlation_id: context.correlationId, tenant_id: auth.tenant_id } });
