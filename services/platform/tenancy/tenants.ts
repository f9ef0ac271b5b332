/** The life of a tenant: suspended, resumed, deleted after a grace period, restored within it (PRS 12.2, 15.4). */
import type { QuotaConfig, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from './auth-context.ts';
import type { DirectoryPort } from './directory.ts';
import { effectiveQuotas, type QuotaDefaults } from './quotas.ts';
import { tenantNotFound } from './tenant-errors.ts';

const HOUR_MS = 3_600_000;

export interface Tenants {
  suspend(auth: AuthContext, tenantId: string, reason: string | null): Promise<Tenant>;
  resume(auth: AuthContext, tenantId: string): Promise<Tenant>;
  /** @throws AgentOsError invalid_request with details.reason confirmation_required; not_found. */
  delete(auth: AuthContext, tenantId: string, deletion: Deletion): Promise<{ readonly purgeAfter: string }>;
  restore(auth: AuthContext, tenantId: string): Promise<Tenant>;
  /** The caller's own tenant, its quotas filled up with the node's. */
  own(auth: AuthContext): Promise<Tenant>;
}

export interface Deletion {
  /** Must be the tenant's id. */
  readonly confirm?: string | undefined;
  /** In place of the node's. */
  readonly graceHours?: number | undefined;
}

export interface TenantRules {
  /** Between a deletion and the purge. */
  readonly graceHours: number;
  readonly quotaDefaults: QuotaDefaults;
}

export function createTenants(directory: DirectoryPort, { graceHours, quotaDefaults }: TenantRules): Tenants {
  return {
    suspend: (auth, tenantId, reason) => directory.setTenantStatus(auth, tenantId, { status: 'suspended', reason }),
    resume: (auth, tenantId) => directory.setTenantStatus(auth, tenantId, { status: 'active', reason: null }),
    async delete(auth, tenantId, { confirm, graceHours: asked }) {
      const hours = asked ?? graceHours;
      if (confirm !== tenantId) {
        // Whoever asks for a tenant that there is not has mistyped more than the confirmation.
        if ((await directory.getTenant(auth, tenantId)) === null) throw tenantNotFound(tenantId);
        throw confirmationRequired(tenantId, hours);
      }
      const tenant = await directory.requestTenantDeletion(auth, tenantId, hours * HOUR_MS);
      return { purgeAfter: tenant.deletion!.purge_after };
    },
    restore: (auth, tenantId) => directory.restoreTenant(auth, tenantId),
    async own(auth) {
      const tenant = await directory.getTenant(auth, auth.tenant_id);
      if (tenant === null) throw tenantNotFound(auth.tenant_id);
      return { ...tenant, quotas: quotasInForce(tenant, quotaDefaults) };
    },
  };
}

/** As the tenant's own would be written; what is not limited is left out. */
function quotasInForce(tenant: Tenant, defaults: QuotaDefaults): QuotaConfig {
  const { maxConcurrentRuns, runCreateQps, runCreateBurst, toolCallsPerMinute, maxMemoryBytes } = effectiveQuotas(tenant, defaults);
  return {
    ...tenant.quotas,
    runs: { ...tenant.quotas?.runs, max_concurrent_runs: maxConcurrentRuns, run_create_qps: runCreateQps, run_create_burst: runCreateBurst },
    ...(toolCallsPerMinute === null ? {} : { tools: { ...tenant.quotas?.tools, tool_calls_per_minute: toolCallsPerMinute } }),
    ...(maxMemoryBytes === null ? {} : { storage: { ...tenant.quotas?.storage, max_memory_bytes: maxMemoryBytes } }),
  };
}

function confirmationRequired(tenantId: string, graceHours: number): AgentOsError {
  const message = `Deleting ${tenantId} removes its runs, agents, memory, keys and all else ${graceHours === 0 ? 'at once' : `after ${graceHours} hours`}. To do so, repeat the id: ?confirm=${encodeURIComponent(tenantId)}.`;
  return new AgentOsError('invalid_request', { message, details: { reason: 'confirmation_required', tenant_id: tenantId, errors: [{ path: '/query/confirm', message: `must be ${tenantId}` }] } });
}
