/** DELETE /v1/admin/tenants/{tenant_id}?confirm=<tenant_id>: refused from now on, its data deleted after the grace period. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';

export const deleteTenant = (tenants: Tenants): AgentOrchestratorHandlers['deleteTenant'] =>
  async ({ path, query, auth, context }) => {
    const { purgeAfter } = await tenants.delete(auth, path.tenant_id, { confirm: query.confirm, graceHours: query.grace_hours });
    return { status: 200, body: { deleted: path.tenant_id, purge_after: purgeAfter, correlation_id: context.correlationId } };
  };
