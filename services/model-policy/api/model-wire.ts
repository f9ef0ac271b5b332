/** A model of the catalogue on the wire: as Appendix E.5 has it, and as OpenAI's clients read it (C-21). */
import type { ModelCapability } from '../../../generated/types/index.ts';
import type { CatalogueModel } from '../router/catalogue.ts';

/** OpenAI's form wants a creation time; models of a catalogue have none, so they share the service's start. */
const startedSeconds = Math.floor(Date.now() / 1000);

export function toCapability(model: CatalogueModel): ModelCapability {
  return {
    model_id: model.modelId,
    provider: model.backend,
    capabilities: [...model.capabilities],
    ...(model.maxOutputTokens === null ? {} : { max_output_tokens: model.maxOutputTokens }),
    ...(model.contextWindowTokens === null ? {} : { context_window_tokens: model.contextWindowTokens }),
    tiers: [...model.tiers],
  };
}

export function toOpenAiModel(model: CatalogueModel) {
  return { id: model.modelId, object: 'model' as const, created: startedSeconds, owned_by: model.backend };
}
