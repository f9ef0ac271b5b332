/** The models a node can reach, over all backends (PRS 6.3). Built once from what the providers report and how configuration ranks it. */
import type { ProviderModel, ProviderPort } from '../ports/provider.ts';
import { NO_ROUTING, type RoutingRules } from './routing-rules.ts';

export type ModelAbility = 'chat' | 'embed' | 'tools' | 'json' | 'vision';

/** What policy may ask about a backend; null and empty: nothing was said. */
export interface BackendAttributes {
  readonly region: string | null;
  readonly dataClassification: readonly string[];
}
export const NO_ATTRIBUTES: BackendAttributes = { region: null, dataClassification: [] };

export type ModelTier = 'fast' | 'balanced' | 'premium';
export const MODEL_TIERS: readonly ModelTier[] = ['fast', 'balanced', 'premium'];

/** US dollars for a million tokens. */
export interface ModelPrice {
  readonly inputUsdPerMillion: number;
  readonly outputUsdPerMillion: number;
}

export interface CatalogueModel {
  /** As clients name it. */
  readonly modelId: string;
  /** As the backend names it. */
  readonly backendModel: string;
  readonly provider: ProviderPort;
  readonly backend: string;
  readonly capabilities: readonly ModelAbility[];
  /** Whether `capabilities` is somebody's list, so that what it leaves out the model cannot do. */
  readonly isListed: boolean;
  readonly attributes: BackendAttributes;
  /** 0 to 1; null: not given. */
  readonly quality: number | null;
  /** Empty: the model belongs to no tier and is reached by its id. */
  readonly tiers: readonly ModelTier[];
  readonly contextWindowTokens: number | null;
  readonly maxOutputTokens: number | null;
  /** null: not known. A call with a cost limit never goes to a model without a price. */
  readonly price: ModelPrice | null;
  /** Other names it answers to. */
  readonly aliases: readonly string[];
  /** Serves a tier only when no other model that the tenant may use does. */
  readonly lastResort: boolean;
}

export interface Catalogue {
  /** In the order of preference. */
  readonly models: readonly CatalogueModel[];
  readonly routing: RoutingRules;
  /** Those that the name stands for: a model id, an alias, or `backend/model`. */
  named(name: string): readonly CatalogueModel[];
}

/** What configuration says about a backend's models beside what the backend reports. */
export interface ModelEntry extends Omit<ProviderModel, 'capabilities'> {
  readonly capabilities: readonly ModelAbility[];
  readonly isListed?: boolean;
  /** As the backend calls it; `modelId` when absent. */
  readonly backendModel?: string;
  readonly quality?: number;
  readonly tiers: readonly ModelTier[];
  readonly price: ModelPrice | null;
  readonly aliases?: readonly string[];
}

export interface CatalogueBackend {
  readonly provider: ProviderPort;
  readonly models: readonly ModelEntry[];
  readonly lastResort: boolean;
  readonly attributes?: BackendAttributes;
}

/** @param backends in the order of preference */
export function createCatalogue(backends: readonly CatalogueBackend[], routing: RoutingRules = NO_ROUTING): Catalogue {
  return catalogueOf(backends.flatMap((backend) => backend.models.map((entry) => toModel(backend, entry))), routing);
}

export function toModel({ provider, lastResort, attributes }: Omit<CatalogueBackend, 'models'>, entry: ModelEntry): CatalogueModel {
  return {
    modelId: entry.modelId,
    backendModel: entry.backendModel ?? entry.modelId,
    provider,
    backend: provider.backend,
    capabilities: entry.capabilities,
    isListed: entry.isListed ?? false,
    attributes: attributes ?? NO_ATTRIBUTES,
    quality: entry.quality ?? null,
    tiers: entry.tiers,
    contextWindowTokens: entry.contextWindowTokens ?? null,
    maxOutputTokens: entry.maxOutputTokens ?? null,
    price: entry.price,
    aliases: entry.aliases ?? [],
    lastResort,
  };
}

/** @param models in the order of preference */
export function catalogueOf(models: readonly CatalogueModel[], routing: RoutingRules): Catalogue {
  const byName = new Map<string, CatalogueModel[]>();
  for (const model of models) {
    for (const name of new Set([model.modelId, `${model.backend}/${model.modelId}`, ...model.aliases])) {
      const list = byName.get(name);
      if (list === undefined) byName.set(name, [model]);
      else list.push(model);
    }
  }
  return { models, routing, named: (name) => byName.get(name) ?? [] };
}
