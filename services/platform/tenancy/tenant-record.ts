/** From what creates or changes a tenant to the tenant as it is answered (Appendix C.1, C.3); shared by the adapters. */
import { AgentOsError } from '../errors.ts';
import { isTenantId } from '../auth/claims.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';
import type { TenantPatch } from './directory.ts';

export type TenantDraft = Pick<Tenant, 'tenant_id' | 'name' | 'plan_tier' | 'status' | (typeof OPTIONAL_MEMBERS)[number]>;

/** Members that a tenant may lack; they are left out, never answered as null. */
export const OPTIONAL_MEMBERS = ['default_policy_id', 'entitlements', 'quotas', 'metadata', 'policy'] as const;

const PATCHABLE = ['name', 'plan_tier', 'status', ...OPTIONAL_MEMBERS] as const;

/** Fills in what a creation may leave out. @throws AgentOsError invalid_request for an id that cannot be one. */
export function draftTenant(create: TenantCreate): TenantDraft {
  if (!isTenantId(create.tenant_id)) {
    throw new AgentOsError('invalid_request', {
      message: 'A tenant id has 1 to 128 letters, digits, dots, dashes, underscores, colons or @, and starts with a letter or digit.',
      details: { errors: [{ path: '/tenant_id', message: 'is not usable as a tenant id' }] },
    });
  }
  return withoutAbsent({
    tenant_id: create.tenant_id,
    name: create.name ?? create.tenant_id,
    plan_tier: create.plan_tier ?? 'standard',
    status: create.status ?? 'active',
    default_policy_id: create.default_policy_id,
    entitlements: create.entitlements,
    quotas: create.quotas,
    metadata: create.metadata,
    policy: create.policy,
  });
}

/** The members of the patch that are present replace those of the tenant; what only the platform sets is left alone. */
export function patchTenant(tenant: TenantDraft, patch: TenantPatch): TenantDraft {
  const { tenant_id, name, plan_tier, status, default_policy_id, entitlements, quotas, metadata, policy } = tenant;
  const changed = Object.fromEntries(changedMembers(patch).map((member) => [member, patch[member]]));
  return withoutAbsent({ tenant_id, name, plan_tier, status, default_policy_id, entitlements, quotas, metadata, policy, ...changed });
}

/** Which members of a patch are there and may be changed. */
export function changedMembers(patch: TenantPatch): readonly (keyof TenantPatch)[] {
  return PATCHABLE.filter((member) => patch[member] !== undefined);
}

function withoutAbsent(draft: { [Member in keyof TenantDraft]: TenantDraft[Member] | undefined }): TenantDraft {
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined && value !== null)) as TenantDraft;
}
