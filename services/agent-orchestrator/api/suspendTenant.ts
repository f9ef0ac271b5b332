/** POST /v1/admin/tenants/{tenant_id}:suspend: its calls are refused until it is resumed. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';

export const suspendTenant = (tenants: Tenants): AgentOrchestratorHandlers['suspendTenant'] =>
  async ({ path, body, auth, context }) => ({ status: 200, body: { tenant: await tenants.suspend(auth, path.tenant_id, body?.reason ?? null), correlation_id: context.correlationId } });
