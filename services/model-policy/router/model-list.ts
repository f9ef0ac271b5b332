/**
 * The notation for a backend's models in configuration: entries `tier=model@in/out#window`, parted by commas.
 *
 *   fast=gpt-4o-mini@0.15/0.6#128000,balanced=gpt-4o,embed=text-embedding-3-small@0.02
 *
 * `fast`, `balanced`, `premium` (joined by + for several) give a chat model its tiers; `embed` an embedding model, which
 * serves every tier; without a tier a chat model is reached by its id alone. `@` is US dollars a million tokens, in and
 * out; `#` the context window in tokens.
 */
import { MODEL_TIERS, type ModelEntry, type ModelTier } from './catalogue.ts';

const ENTRY = /^(?:([a-z+]+)=)?([^@#=,\s]+)(?:@(\d+(?:\.\d+)?)(?:\/(\d+(?:\.\d+)?))?)?(?:#(\d+))?$/;

/** @throws Error that names the entry it cannot read. */
export function parseModelList(text: string): ModelEntry[] {
  return text.split(',').map((each) => each.trim()).filter((each) => each !== '').map(parseEntry);
}

function parseEntry(text: string): ModelEntry {
  const match = ENTRY.exec(text);
  if (match === null) throw new Error(`'${text}' is not tier=model, with @in/out for the price and #tokens for the context window`);
  const [, kind, modelId, input, output, window] = match;
  const embeds = kind === 'embed';
  const tiers = embeds ? [...MODEL_TIERS] : kind === undefined ? [] : kind.split('+').map((tier) => toTier(tier, text));
  return {
    modelId: modelId!,
    capabilities: embeds ? ['embed'] : ['chat'],
    tiers,
    price: input === undefined ? null : { inputUsdPerMillion: Number(input), outputUsdPerMillion: Number(output ?? (embeds ? 0 : input)) },
    ...(window === undefined ? {} : { contextWindowTokens: Number(window) }),
  };
}

function toTier(name: string, text: string): ModelTier {
  const tier = MODEL_TIERS.find((each) => each === name);
  if (tier === undefined) throw new Error(`'${text}' names the tier ${name}; tiers are ${MODEL_TIERS.join(', ')}, and embed for embeddings`);
  return tier;
}
