/**
 * The model backends of a node, from its configuration to the catalogue.
 *
 * Backends are preferred in the order openai, vllm, tgi, ollama; the built-in model comes last and, unless
 * AGENTOS_MODEL_BUILTIN_FALLBACK is on, serves a tier only where no other backend does: an extract in place of a
 * model's answer should be somebody's decision. Where configuration does not list a backend's models, the server is
 * asked, again every 30 seconds until it answers; the first chat model and the first embedding model it lists then
 * serve every tier. Servers of one's own (vllm, tgi, ollama) cost nothing a token.
 */
import type { Logger } from 'pino';
import type { ConfigValues } from '../platform/config/variables.ts';
import { ConfigError } from '../platform/config/load.ts';
import { BuiltinProvider } from './adapters/provider-builtin.ts';
import { OpenAiCompatibleProvider } from './adapters/provider-openai-compatible.ts';
import type { ProviderModel, ProviderPort } from './ports/provider.ts';
import { createCatalogue, MODEL_TIERS, type Catalogue, type CatalogueBackend, type ModelEntry, type ModelPrice } from './router/catalogue.ts';
import { parseModelList } from './router/model-list.ts';

type BackendConfig = Pick<ConfigValues,
  | 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'AGENTOS_MODEL_OPENAI_MODELS' | 'AGENTOS_MODEL_VLLM_BASE_URL' | 'AGENTOS_MODEL_VLLM_API_KEY' | 'AGENTOS_MODEL_VLLM_MODELS'
  | 'AGENTOS_MODEL_TGI_BASE_URL' | 'AGENTOS_MODEL_TGI_API_KEY' | 'AGENTOS_MODEL_TGI_MODELS' | 'OLLAMA_HOST' | 'AGENTOS_MODEL_OLLAMA_MODELS'
  | 'AGENTOS_MODEL_TIMEOUT_MS' | 'AGENTOS_MODEL_BUILTIN_FALLBACK' | 'AGENTOS_MODEL_DEFAULT' | 'AGENTOS_STACK_ID'>;

export interface Backends {
  /** As known now; a backend that was asked for its models and has not answered yet has none. */
  readonly catalogue: Catalogue;
  readonly providers: readonly ProviderPort[];
  close(): Promise<void>;
}

interface Remote {
  readonly name: string;
  readonly baseUrl: string;
  readonly apiKey: string | undefined;
  readonly models: string | undefined;
  readonly modelsVariable: string;
  readonly defaultPrice: ModelPrice | null;
}

const OPENAI_URL = 'https://api.openai.com/v1';
const FREE: ModelPrice = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
const ASK_AGAIN_MS = 30_000;
/** Model id of the stub in earlier versions; requests that name it keep working. */
const EARLIER_STUB = 'local-stub-llm';

/** @throws ConfigError for a model list that cannot be read. */
export async function openBackends(config: BackendConfig, log: Logger): Promise<Backends> {
  const builtin = await builtinBackend(config);
  const remotes = remotesOf(config).map((remote) => {
    const provider = new OpenAiCompatibleProvider({ backend: remote.name, baseUrl: remote.baseUrl, apiKey: remote.apiKey ?? null, timeoutMs: config.AGENTOS_MODEL_TIMEOUT_MS });
    return { remote, provider, entries: readEntries(remote) };
  });
  let catalogue: Catalogue;
  const rebuild = (): void => {
    const backends = remotes.map(({ provider, entries }): CatalogueBackend => ({ provider, models: preferred(entries ?? [], config.AGENTOS_MODEL_DEFAULT), lastResort: false }));
    catalogue = createCatalogue(sortByDefault([...backends, builtin], config.AGENTOS_MODEL_DEFAULT));
  };
  const timers = new Set<NodeJS.Timeout>();
  const ask = async (each: (typeof remotes)[number]): Promise<void> => {
    try {
      each.entries = toEntries(await each.provider.models(), each.remote.defaultPrice);
      rebuild();
      log.info({ backend: each.remote.name, models: each.entries.map((entry) => entry.modelId).slice(0, 20) }, 'A model backend listed its models.');
    } catch (error) {
      log.warn({ backend: each.remote.name, err: error }, `Backend ${each.remote.name} did not list its models; asking again in ${ASK_AGAIN_MS / 1000} s. ${each.remote.modelsVariable} can name them.`);
      const timer = setTimeout(() => { timers.delete(timer); void ask(each); }, ASK_AGAIN_MS).unref();
      timers.add(timer);
    }
  };
  rebuild();
  await Promise.all(remotes.filter((each) => each.entries === null).map((each) => within(ask(each), 3_000)));
  return {
    get catalogue() {
      return catalogue;
    },
    providers: [...remotes.map((each) => each.provider), builtin.provider],
    async close() {
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(remotes.map((each) => each.provider.close()));
    },
  };
}

/** A start does not wait for a backend that hangs; its models arrive later. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}

function remotesOf(config: BackendConfig): Remote[] {
  const out: Remote[] = [];
  const add = (name: string, baseUrl: string | undefined, apiKey: string | undefined, models: string | undefined, price: ModelPrice | null): void => {
    if (baseUrl !== undefined) out.push({ name, baseUrl, apiKey, models, modelsVariable: `AGENTOS_MODEL_${name.toUpperCase()}_MODELS`, defaultPrice: price });
  };
  const openai = config.OPENAI_BASE_URL ?? (config.OPENAI_API_KEY === undefined ? undefined : OPENAI_URL);
  add('openai', openai, config.OPENAI_API_KEY, config.AGENTOS_MODEL_OPENAI_MODELS ?? (openai === OPENAI_URL ? 'fast=gpt-4o-mini#128000,balanced+premium=gpt-4o#128000,embed=text-embedding-3-small#8191' : undefined), null);
  add('vllm', config.AGENTOS_MODEL_VLLM_BASE_URL, config.AGENTOS_MODEL_VLLM_API_KEY, config.AGENTOS_MODEL_VLLM_MODELS, FREE);
  add('tgi', config.AGENTOS_MODEL_TGI_BASE_URL, config.AGENTOS_MODEL_TGI_API_KEY, config.AGENTOS_MODEL_TGI_MODELS, FREE);
  add('ollama', config.OLLAMA_HOST === undefined ? undefined : ollamaUrl(config.OLLAMA_HOST), undefined, config.AGENTOS_MODEL_OLLAMA_MODELS, FREE);
  return out;
}

/** `OLLAMA_HOST` is host, host:port or a URL; 0.0.0.0 is where a server listens, not where it is found. */
export function ollamaUrl(host: string): string {
  const withScheme = /^https?:\/\//.test(host) ? host : `http://${host}`;
  if (!URL.canParse(withScheme)) throw new ConfigError('OLLAMA_HOST', `OLLAMA_HOST is ${JSON.stringify(host)}; it must be a host, host:port or a URL.`);
  const url = new URL(withScheme);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.port === '' && url.protocol === 'http:') url.port = '11434';
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}/v1`;
}

/** null: the server is to be asked. */
function readEntries(remote: Remote): ModelEntry[] | null {
  if (remote.models === undefined) return null;
  try {
    return parseModelList(remote.models).map((entry) => ({ ...entry, price: entry.price ?? remote.defaultPrice }));
  } catch (error) {
    throw new ConfigError(remote.modelsVariable, `${remote.modelsVariable}: ${(error as Error).message}.`);
  }
}

function toEntries(models: readonly ProviderModel[], price: ModelPrice | null): ModelEntry[] {
  const first = { chat: models.find((model) => model.capabilities.includes('chat')), embed: models.find((model) => model.capabilities.includes('embed')) };
  return models.map((model) => ({ ...model, tiers: model === first.chat || model === first.embed ? [...MODEL_TIERS] : [], price }));
}

/** AGENTOS_MODEL_DEFAULT stands for tier:balanced. */
function preferred(entries: readonly ModelEntry[], modelId: string | undefined): ModelEntry[] {
  return entries.map((entry) => (entry.modelId === modelId && !entry.tiers.includes('balanced') ? { ...entry, tiers: [...entry.tiers, 'balanced' as const] } : entry))
    .sort((a, b) => Number(b.modelId === modelId) - Number(a.modelId === modelId));
}

function sortByDefault(backends: readonly CatalogueBackend[], modelId: string | undefined): CatalogueBackend[] {
  const has = (backend: CatalogueBackend): boolean => modelId !== undefined && backend.models.some((model) => model.modelId === modelId);
  return [...backends].sort((a, b) => Number(has(b)) - Number(has(a)));
}

async function builtinBackend(config: BackendConfig): Promise<CatalogueBackend> {
  const provider = new BuiltinProvider(config.AGENTOS_STACK_ID);
  const models = (await provider.models()).map((model): ModelEntry => {
    const tier = MODEL_TIERS.find((each) => model.modelId === `builtin-${each}-1`);
    return { ...model, tiers: tier === undefined ? [...MODEL_TIERS] : [tier], price: FREE, ...(tier === 'balanced' ? { aliases: [EARLIER_STUB] } : {}) };
  });
  const isDefault = models.some((model) => model.modelId === config.AGENTOS_MODEL_DEFAULT);
  return { provider, models, lastResort: !config.AGENTOS_MODEL_BUILTIN_FALLBACK && !isDefault };
}
