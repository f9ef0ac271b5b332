/** POST /v1/admin/tenants/{tenant_id}:restore: undoes a deletion within its grace period. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';

export const restoreTenant = (tenants: Tenants): AgentOrchestratorHandlers['restoreTenant'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { tenant: await tenants.restore(auth, path.tenant_id), correlation_id: context.correlationId } });
