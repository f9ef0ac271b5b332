/** POST /v1/admin/tenants: bare or wrapped in `tenant_create` (Appendix C.3, C-51). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { TenantCreate } from '../../../generated/types/index.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';

export const createTenant = (directory: DirectoryPort): AgentOrchestratorHandlers['createTenant'] =>
  async ({ body, auth, context }) => {
    const tenant = await directory.createTenant(auth, 'tenant_create' in body ? (body.tenant_create as TenantCreate) : (body as TenantCreate));
    return { status: 201, body: { tenant, correlation_id: context.correlationId } };
  };
