/** The models a node can reach, over all backends (PRS 6.3). Built once from what the providers report and how configuration ranks it. */
import type { ProviderModel, ProviderPort } from '../ports/provider.ts';

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
  readonly capabilities: readonly ('chat' | 'embed')[];
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
  /** Those that the name stands for: a model id, an alias, or `backend/model`. */
  named(name: string): readonly CatalogueModel[];
}

/** What configuration says about a backend's models beside what the backend reports. */
export interface ModelEntry extends ProviderModel {
  readonly tiers: readonly ModelTier[];
  readonly price: ModelPrice | null;
  readonly aliases?: readonly string[];
}

export interface CatalogueBackend {
  readonly provider: ProviderPort;
  readonly models: readonly ModelEntry[];
  readonly lastResort: boolean;
}

/** @param backends in the order of preference */
export function createCatalogue(backends: readonly CatalogueBackend[]): Catalogue {
  const models = backends.flatMap(({ provider, models: entries, lastResort }) =>
    entries.map((entry): CatalogueModel => ({
      modelId: entry.modelId,
      backendModel: entry.modelId,
      provider,
      backend: provider.backend,
      capabilities: entry.capabilities,
      tiers: entry.tiers,
      contextWindowTokens: entry.contextWindowTokens ?? null,
      maxOutputTokens: entry.maxOutputTokens ?? null,
      price: entry.price,
      aliases: entry.aliases ?? [],
      lastResort,
    })));
  const byName = new Map<string, CatalogueModel[]>();
  for (const model of models) {
    for (const name of new Set([model.modelId, `${model.backend}/${model.modelId}`, ...model.aliases])) {
      const list = byName.get(name);
      if (list === undefined) byName.set(name, [model]);
      else list.push(model);
    }
  }
  return { models, named: (name) => byName.get(name) ?? [] };
}
