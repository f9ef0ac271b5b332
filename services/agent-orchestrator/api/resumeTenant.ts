/** POST /v1/admin/tenants/{tenant_id}:resume: its calls are served again. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';

export const resumeTenant = (tenants: Tenants): AgentOrchestratorHandlers['resumeTenant'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { tenant: await tenants.resume(auth, path.tenant_id), correlation_id: context.correlationId } });
