/** GET /v1/admin/tenants/{tenant_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const getTenant = (directory: DirectoryPort): AgentOrchestratorHandlers['getTenant'] =>
  async ({ path, auth, context }) => {
    const tenant = await directory.getTenant(auth, path.tenant_id);
    if (tenant === null) throw new AgentOsError('not_found', { message: `There is no tenant ${path.tenant_id}.`, details: { tenant_id: path.tenant_id } });
    return { status: 200, body: { tenant, correlation_id: context.correlationId } };
  };
