/** What of a tenant's plan the runs of this service are held to (Appendix C.1, C.2). */
import type { Tenant } from '../../../generated/types/index.ts';
import { effectiveQuotas, type QuotaDefaults } from '../../platform/tenancy/quotas.ts';
import type { AdmissionLimits } from '../ports/run-state.ts';
import type { ToolEntitlement } from '../runtime/permissions.ts';

export function admissionLimits(tenant: Pick<Tenant, 'quotas'>, defaults: QuotaDefaults): AdmissionLimits {
  const quotas = effectiveQuotas(tenant, defaults);
  return { createQps: quotas.runCreateQps, createBurst: quotas.runCreateBurst, maxConcurrentRuns: quotas.maxConcurrentRuns, ...(defaults.AGENTOS_MAX_QUEUED_RUNS === undefined ? {} : { maxQueuedRuns: defaults.AGENTOS_MAX_QUEUED_RUNS }) };
}

/** An absent list allows every tool, an empty one none; a tenant that is not served has none. */
export function toolEntitlement(tenant: Pick<Tenant, 'entitlements' | 'status'> | null): ToolEntitlement {
  if (tenant?.status !== 'active') return [];
  return tenant.entitlements?.tool_ids_allowed ?? null;
}
