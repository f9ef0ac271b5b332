/** Which models a tenant may use (PRS 6.2, Appendix C.1, C-52). An absent list allows all, an empty one nothing; a denial beats every allowance. */
import type { Tenant } from '../../../generated/types/index.ts';
import type { CatalogueModel, ModelTier } from './catalogue.ts';

/** Why the tenant may not use the model, or null when it may. `tier` is the tier that was asked for, if one was. */
export function refusalOf(tenant: Tenant, model: CatalogueModel, tier: ModelTier | null): string | null {
  const { model_backends_allowed: backends, model_tiers_allowed: tiers } = tenant.entitlements ?? {};
  if (isListed(tenant.policy?.denied_models, model)) return 'model_denied';
  const allowed = tenant.policy?.allowed_models;
  if (allowed !== undefined && !isListed(allowed, model)) return 'model_not_allowed';
  if (backends !== undefined && !backends.includes(model.backend)) return 'backend_not_entitled';
  if (tiers === undefined) return null;
  if (tier !== null) return tiers.includes(tier) ? null : 'tier_not_entitled';
  // Asked for by its id, a model needs one of its own tiers to be allowed; one without tiers needs any at all.
  const reachable = model.tiers.length === 0 ? tiers.length > 0 : model.tiers.some((each) => tiers.includes(each));
  return reachable ? null : 'tier_not_entitled';
}

function isListed(list: readonly string[] | undefined, model: CatalogueModel): boolean {
  return list !== undefined && (list.includes(model.modelId) || list.includes(`${model.backend}/${model.modelId}`) || model.aliases.some((alias) => list.includes(alias)));
}
