/** Whether a tenant is served at all: registered and active (PRS 5.2, HLD 5.2). */
import { AgentOsError } from '../errors.ts';
import type { Tenant } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { DirectoryPort } from './directory.ts';

/** @throws AgentOsError tenant_unknown, or forbidden with reason tenant_suspended. */
export async function requireActiveTenant(directory: DirectoryPort, auth: AuthContext): Promise<Tenant> {
  const tenant = await directory.getTenant(auth, auth.tenant_id);
  if (tenant === null) {
    throw new AgentOsError('tenant_unknown', {
      message: `Tenant ${auth.tenant_id} is not registered on this node.`,
      details: { tenant_id: auth.tenant_id },
    });
  }
  if (tenant.status !== 'active') {
    throw new AgentOsError('forbidden', {
      message: `Tenant ${auth.tenant_id} is ${tenant.status}.`,
      details: { reason: 'tenant_suspended', tenant_id: auth.tenant_id, status: tenant.status },
    });
  }
  return tenant;
}
