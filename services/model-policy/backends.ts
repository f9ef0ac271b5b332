/**
 * The model backends of a node, from its configuration to the catalogue.
 *
 * Backends are preferred in the order openai, anthropic, aws_bedrock, vllm, tgi, ollama; the built-in model comes last and, unless
 * AGENTOS_MODEL_BUILTIN_FALLBACK is on, serves a tier only where no other backend does: an extract in place of a
 * model's answer should be somebody's decision. Where configuration does not list a backend's models, the server is
 * asked, again every 30 seconds until it answers; the first chat model and the first embedding model it lists then
 * serve every tier (of Anthropic's, the newest haiku, sonnet and opus serve fast, balanced and premium). Servers of
 * one's own (vllm, tgi, ollama) cost nothing a token.
 */
import type { Logger } from 'pino';
import type { ConfigValues, VariableName } from '../platform/config/variables.ts';
import { ConfigError } from '../platform/config/load.ts';
import type { ConfigSecrets } from '../platform/secrets/config-secrets.ts';
import { ANTHROPIC_URL, openProvider, OPENAI_URL, type OpenProvider, type ProviderKind } from './adapters/open-provider.ts';
import { BuiltinProvider } from './adapters/provider-builtin.ts';
import { openFileBackends } from './file-backends.ts';
import { BackendSet, publicUrlOf, type BackendFacts, type Backends } from './backend-set.ts';
import type { ProviderModel } from './ports/provider.ts';
import { createCatalogue, MODEL_TIERS, NO_ATTRIBUTES, type CatalogueBackend, type ModelEntry, type ModelPrice, type ModelTier } from './router/catalogue.ts';
import { parseModelList } from './router/model-list.ts';

type BackendConfig = Pick<ConfigValues,
  | 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'AGENTOS_MODEL_OPENAI_MODELS' | 'AGENTOS_MODEL_VLLM_BASE_URL' | 'AGENTOS_MODEL_VLLM_API_KEY' | 'AGENTOS_MODEL_VLLM_MODELS'
  | 'AGENTOS_MODEL_TGI_BASE_URL' | 'AGENTOS_MODEL_TGI_API_KEY' | 'AGENTOS_MODEL_TGI_MODELS' | 'OLLAMA_HOST' | 'OLLAMA_API_KEY' | 'AGENTOS_MODEL_OLLAMA_MODELS'
  | 'ANTHROPIC_API_KEY' | 'ANTHROPIC_BASE_URL' | 'AGENTOS_MODEL_ANTHROPIC_MODELS' | 'AWS_REGION' | 'AGENTOS_MODEL_BEDROCK_BASE_URL' | 'AGENTOS_MODEL_BEDROCK_MODELS'
  | 'AGENTOS_MODE' | 'AGENTOS_PROFILE' | 'AGENTOS_MODELS_FILE' | 'AGENTOS_MODEL_TIMEOUT_MS' | 'AGENTOS_MODEL_BUILTIN_FALLBACK' | 'AGENTOS_MODEL_DEFAULT' | 'AGENTOS_STACK_ID'>;

export type { Backends } from './backend-set.ts';

interface Remote {
  readonly kind: ProviderKind;
  readonly name: string;
  readonly baseUrl: string | undefined;
  /** Named where the base URL cannot be used. */
  readonly urlVariable: VariableName;
  readonly keyVariable: VariableName | null;
  readonly models: string | undefined;
  readonly modelsVariable: string;
  readonly defaultPrice: ModelPrice | null;
}

const FREE: ModelPrice = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
const ASK_AGAIN_MS = 30_000;
/** Model id of the stub in earlier versions; requests that name it keep working. */
const EARLIER_STUB = 'local-stub-llm';

/**
 * Those of AGENTOS_MODELS_FILE, where it is set, otherwise those of the environment.
 *
 * @param secrets the keys as they are now; without them those of `config` are used as they are
 * @throws ConfigError for a file, base URL, key or model list that cannot be used.
 */
export function openBackends(config: BackendConfig, log: Logger, secrets?: ConfigSecrets): Promise<Backends> {
  if (config.AGENTOS_MODELS_FILE !== undefined) return openFileBackends(config.AGENTOS_MODELS_FILE, config, log, secrets);
  return openEnvironmentBackends(config, log, secrets);
}

async function openEnvironmentBackends(config: BackendConfig, log: Logger, secrets: ConfigSecrets | undefined): Promise<Backends> {
  const set = new BackendSet(log);
  const remotes = remotesOf(config).map((remote) => {
    const entries = readEntries(remote);
    const inner = openRemote(remote, entries, config, secrets);
    return { remote, gated: set.open(factsOf(remote, config), inner), entries };
  });
  const builtin = await builtinBackend(config, set);
  const rebuild = (): void => {
    const backends = remotes.map(({ gated, entries }): CatalogueBackend => ({ provider: gated, models: preferred(entries ?? [], config.AGENTOS_MODEL_DEFAULT), lastResort: false }));
    set.use(createCatalogue(sortByDefault([...backends, builtin], config.AGENTOS_MODEL_DEFAULT)));
  };
  const timers = new Set<NodeJS.Timeout>();
  const ask = async (each: (typeof remotes)[number]): Promise<void> => {
    try {
      each.entries = toEntries(await each.gated.models(), each.remote);
      rebuild();
      log.info({ backend: each.remote.name, models: each.entries.map((entry) => entry.modelId).slice(0, 20) }, 'A model backend listed its models.');
    } catch (error) {
      log.warn({ backend: each.remote.name, err: error }, `Backend ${each.remote.name} did not list its models; asking again in ${ASK_AGAIN_MS / 1000} s. ${each.remote.modelsVariable} can name them.`);
      const timer = setTimeout(() => { timers.delete(timer); void ask(each); }, ASK_AGAIN_MS).unref();
      timers.add(timer);
    }
  };
  const askAll = async (): Promise<void> => {
    await Promise.all(remotes.filter((each) => each.remote.models === undefined).map((each) => within(ask(each), 3_000)));
  };
  rebuild();
  await askAll();
  // Without a listener this signal would end the process, and operators send it to all services alike.
  const onSignal = (): void => {
    log.info('SIGHUP: AGENTOS_MODELS_FILE is not set, so there is no models file to read again; backends are asked for their models.');
    void askAll();
  };
  process.on('SIGHUP', onSignal);
  return set.asBackends({
    kind: 'environment', path: null,
    // The environment of a process does not change; what its backends list does.
    reload: askAll,
    close() {
      process.off('SIGHUP', onSignal);
      for (const timer of timers) clearTimeout(timer);
    },
  });
}

function factsOf(remote: Remote, config: BackendConfig): BackendFacts {
  const { name, kind, baseUrl, keyVariable } = remote;
  return {
    name, kind, baseUrl: publicUrlOf(baseUrl), region: kind === 'aws_bedrock' ? (config.AWS_REGION ?? null) : null, attributes: NO_ATTRIBUTES,
    hasApiKey: keyVariable !== null && config[keyVariable as keyof BackendConfig] !== undefined,
    timeoutMs: config.AGENTOS_MODEL_TIMEOUT_MS, maxConcurrency: null, health: {},
  };
}

/** A start does not wait for a backend that hangs; its models arrive later. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}

function openRemote(remote: Remote, entries: readonly ModelEntry[] | null, config: BackendConfig, secrets: ConfigSecrets | undefined): OpenProvider {
  const { kind, name, baseUrl, keyVariable } = remote;
  const live = keyVariable === null ? undefined : secrets?.live(keyVariable);
  const value = keyVariable === null ? undefined : (config[keyVariable as keyof BackendConfig] as string | undefined);
  try {
    return openProvider(kind, {
      name, timeoutMs: config.AGENTOS_MODEL_TIMEOUT_MS,
      apiKey: live !== undefined ? { kind: 'live', secret: live } : value !== undefined ? { kind: 'value', value } : { kind: 'none' },
      ...(baseUrl === undefined ? {} : { baseUrl }),
      ...(config.AWS_REGION === undefined ? {} : { region: config.AWS_REGION }),
      ...(entries === null ? {} : { models: entries.map(toProviderModel) }),
    });
  } catch (error) {
    const message = (error as Error).message;
    const variable = /\bkey\b/.test(message) && keyVariable !== null ? keyVariable : /region/.test(message) ? 'AWS_REGION' : remote.urlVariable;
    throw new ConfigError(variable, `${variable} cannot be used for backend ${name}: ${message}.`);
  }
}

function remotesOf(config: BackendConfig): Remote[] {
  const out: Remote[] = [];
  const add = (remote: Remote, isConfigured: boolean): void => { if (isConfigured) out.push(remote); };
  const openai = config.OPENAI_BASE_URL ?? OPENAI_URL;
  const isOpenai = URL.canParse(openai) && new URL(openai).hostname === new URL(OPENAI_URL).hostname;
  add({
    kind: isOpenai ? 'openai' : 'openai_compatible', name: 'openai', baseUrl: openai, urlVariable: 'OPENAI_BASE_URL', keyVariable: 'OPENAI_API_KEY',
    models: config.AGENTOS_MODEL_OPENAI_MODELS ?? (isOpenai ? 'fast=gpt-4o-mini#128000,balanced+premium=gpt-4o#128000,embed=text-embedding-3-small#8191' : undefined),
    modelsVariable: 'AGENTOS_MODEL_OPENAI_MODELS', defaultPrice: null,
  }, config.OPENAI_BASE_URL !== undefined || config.OPENAI_API_KEY !== undefined);
  add({
    kind: 'anthropic', name: 'anthropic', baseUrl: config.ANTHROPIC_BASE_URL ?? ANTHROPIC_URL, urlVariable: 'ANTHROPIC_BASE_URL', keyVariable: 'ANTHROPIC_API_KEY',
    models: config.AGENTOS_MODEL_ANTHROPIC_MODELS, modelsVariable: 'AGENTOS_MODEL_ANTHROPIC_MODELS', defaultPrice: null,
  }, config.ANTHROPIC_API_KEY !== undefined);
  // AWS_REGION stands on many machines for other reasons; Bedrock is meant where its models are named.
  add({
    kind: 'aws_bedrock', name: 'aws_bedrock', baseUrl: config.AGENTOS_MODEL_BEDROCK_BASE_URL, urlVariable: 'AGENTOS_MODEL_BEDROCK_BASE_URL', keyVariable: null,
    models: config.AGENTOS_MODEL_BEDROCK_MODELS, modelsVariable: 'AGENTOS_MODEL_BEDROCK_MODELS', defaultPrice: null,
  }, config.AGENTOS_MODEL_BEDROCK_MODELS !== undefined);
  add({
    kind: 'vllm', name: 'vllm', baseUrl: config.AGENTOS_MODEL_VLLM_BASE_URL, urlVariable: 'AGENTOS_MODEL_VLLM_BASE_URL', keyVariable: 'AGENTOS_MODEL_VLLM_API_KEY',
    models: config.AGENTOS_MODEL_VLLM_MODELS, modelsVariable: 'AGENTOS_MODEL_VLLM_MODELS', defaultPrice: FREE,
  }, config.AGENTOS_MODEL_VLLM_BASE_URL !== undefined);
  add({
    kind: 'tgi', name: 'tgi', baseUrl: config.AGENTOS_MODEL_TGI_BASE_URL, urlVariable: 'AGENTOS_MODEL_TGI_BASE_URL', keyVariable: 'AGENTOS_MODEL_TGI_API_KEY',
    models: config.AGENTOS_MODEL_TGI_MODELS, modelsVariable: 'AGENTOS_MODEL_TGI_MODELS', defaultPrice: FREE,
  }, config.AGENTOS_MODEL_TGI_BASE_URL !== undefined);
  add({
    kind: 'ollama', name: 'ollama', baseUrl: config.OLLAMA_HOST === undefined ? undefined : ollamaUrl(config.OLLAMA_HOST), urlVariable: 'OLLAMA_HOST', keyVariable: 'OLLAMA_API_KEY',
    models: config.AGENTOS_MODEL_OLLAMA_MODELS, modelsVariable: 'AGENTOS_MODEL_OLLAMA_MODELS', defaultPrice: FREE,
  }, config.OLLAMA_HOST !== undefined);
  return out;
}

/** `OLLAMA_HOST` is host, host:port or a URL; 0.0.0.0 is where a server listens, not where it is found. */
export function ollamaUrl(host: string): string {
  const withScheme = /^https?:\/\//.test(host) ? host : `http://${host}`;
  if (!URL.canParse(withScheme)) throw new ConfigError('OLLAMA_HOST', `OLLAMA_HOST is ${JSON.stringify(host)}; it must be a host, host:port or a URL.`);
  const url = new URL(withScheme);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.port === '' && url.protocol === 'http:') url.port = '11434';
  return `${url.origin}${url.pathname.replace(/\/+(?:v1\/*)?$/, '')}`;
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

/** Anthropic lists the newest first and says by the name how large a model is. */
const FAMILIES: Readonly<Record<ModelTier, RegExp>> = { fast: /haiku/, balanced: /sonnet/, premium: /opus/ };

function toProviderModel({ modelId, capabilities }: ModelEntry): ProviderModel {
  return { modelId, capabilities: capabilities.filter((each) => each === 'chat' || each === 'embed') };
}

function toEntries(models: readonly ProviderModel[], { kind, defaultPrice }: Remote): ModelEntry[] {
  const first = { chat: models.find((model) => model.capabilities.includes('chat')), embed: models.find((model) => model.capabilities.includes('embed')) };
  const ofFamily = kind !== 'anthropic' ? [] : MODEL_TIERS.map((tier) => ({ tier, model: models.find((model) => FAMILIES[tier].test(model.modelId)) }));
  const families = ofFamily.filter((each) => each.model !== undefined);
  return models.map((model) => {
    const tiers = families.length > 0 ? families.filter((each) => each.model === model).map((each) => each.tier) : model === first.chat || model === first.embed ? [...MODEL_TIERS] : [];
    return { ...model, tiers, price: defaultPrice };
  });
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

async function builtinBackend(config: BackendConfig, set: BackendSet): Promise<CatalogueBackend> {
  const inner = Object.assign(new BuiltinProvider(config.AGENTOS_STACK_ID), { close: () => Promise.resolve() });
  const provider = set.open({ name: 'builtin', kind: 'builtin', baseUrl: null, region: null, attributes: NO_ATTRIBUTES, hasApiKey: false, timeoutMs: config.AGENTOS_MODEL_TIMEOUT_MS, maxConcurrency: null, health: {} }, inner);
  const models = (await provider.models()).map((model): ModelEntry => {
    const tier = MODEL_TIERS.find((each) => model.modelId === `builtin-${each}-1`);
    return { ...model, tiers: tier === undefined ? [...MODEL_TIERS] : [tier], price: FREE, ...(tier === 'balanced' ? { aliases: [EARLIER_STUB] } : {}) };
  });
  const isDefault = models.some((model) => model.modelId === config.AGENTOS_MODEL_DEFAULT);
  return { provider, models, lastResort: !config.AGENTOS_MODEL_BUILTIN_FALLBACK && !isDefault };
}
