/**
 * Backends, models and routing of the file that AGENTOS_MODELS_FILE names, as it is now: it is read again when it
 * changes, on SIGHUP and when an administrator asks. A file that cannot be used changes nothing.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { ModelsConfig, ModelsConfigBackend, ModelsConfigModel } from '../../generated/types/index.ts';
import { followFile } from '../platform/config/followed-file.ts';
import { ConfigError } from '../platform/config/load.ts';
import type { ConfigValues, VariableName } from '../platform/config/variables.ts';
import type { ConfigSecrets } from '../platform/secrets/config-secrets.ts';
import { openProvider, type ProviderSettings } from './adapters/open-provider.ts';
import type { KeyOrigin } from './adapters/wire/api-key.ts';
import { BackendSet, publicUrlOf, type BackendFacts, type Backends } from './backend-set.ts';
import { catalogueOf, toModel, type BackendAttributes, type CatalogueModel } from './router/catalogue.ts';
import { ModelsConfigError, parseModelsConfig, routingRulesOf } from './router/models-config.ts';

type FileConfig = Pick<ConfigValues, 'AGENTOS_MODEL_TIMEOUT_MS' | 'AGENTOS_STACK_ID' | 'AWS_REGION' | 'AGENTOS_MODE' | 'AGENTOS_PROFILE'>;

/** @throws ConfigError for a file that cannot be used. */
export async function openFileBackends(path: string, config: FileConfig, log: Logger, secrets?: ConfigSecrets): Promise<Backends> {
  const file = new ModelsFile(path, config, log, secrets);
  try {
    await file.load();
  } catch (error) {
    throw new ConfigError('AGENTOS_MODELS_FILE', `AGENTOS_MODELS_FILE names ${path}, which cannot be used: ${(error as Error).message}.`);
  }
  return file.follow();
}

class ModelsFile {
  readonly #path: string;
  readonly #config: FileConfig;
  readonly #log: Logger;
  readonly #secrets: ConfigSecrets | undefined;
  readonly #set: BackendSet;
  /** By backend: what it was opened with. */
  readonly #openedWith = new Map<string, string>();
  #text = '';
  #loading: Promise<void> = Promise.resolve();

  constructor(path: string, config: FileConfig, log: Logger, secrets: ConfigSecrets | undefined) {
    this.#secrets = secrets;
    this.#path = path;
    this.#config = config;
    this.#log = log;
    this.#set = new BackendSet(log);
  }

  /** @throws ModelsConfigError, or an error of the file system. */
  async load(): Promise<void> {
    const text = await readFile(this.#path, 'utf8');
    const parsed = parseModelsConfig(text);
    this.#apply(parsed);
    this.#text = text;
  }

  follow(): Backends {
    const reload = (): void => void this.#reload().catch(() => undefined);
    // What cannot be used is tried again with each look: what it refers to may have come meanwhile.
    const look = (text: string): void => (text === this.#text ? this.#set.accept() : reload());
    const followed = followFile(this.#path, this.#text, { changed: look, same: look, missing: reload, signaled: reload });
    return this.#set.asBackends({ kind: 'file', path: this.#path, reload: () => this.#reload(), close: () => followed.close() });
  }

  /** One at a time, in the order asked for. @throws AgentOsError conflict (bad_configuration). */
  #reload(): Promise<void> {
    this.#loading = this.#loading.catch(() => undefined).then(async () => {
      try {
        await this.load();
        this.#log.info({ path: this.#path, backends: this.#set.names }, 'The models file was loaded.');
      } catch (error) {
        throw this.#set.refuse(error, this.#path);
      }
    });
    return this.#loading;
  }

  #apply(parsed: ModelsConfig): void {
    const opened = new Map<string, { readonly facts: BackendFacts; readonly inner: ReturnType<typeof openProvider>; readonly fingerprint: string }>();
    try {
      for (const [name, backend] of Object.entries(parsed.backends)) {
        const fingerprint = fingerprintOf(backend, parsed.models.filter((model) => model.backend === name));
        if (this.#openedWith.get(name) !== fingerprint) opened.set(name, { ...this.#openOne(name, backend, parsed.models), fingerprint });
      }
    } catch (error) {
      for (const { inner } of opened.values()) void inner.close();
      throw error;
    }
    // From here on nothing can fail.
    for (const name of this.#set.names) {
      if (name in parsed.backends) continue;
      this.#set.retire(name);
      this.#openedWith.delete(name);
    }
    for (const [name, { facts, inner, fingerprint }] of opened) {
      this.#set.open(facts, inner);
      this.#openedWith.set(name, fingerprint);
    }
    this.#set.use(catalogueOf(parsed.models.map((model) => this.#toModel(parsed.backends[model.backend]!, model)), routingRulesOf(parsed)));
  }

  /** @throws ModelsConfigError for an address, key or region that cannot be used. */
  #openOne(name: string, backend: ModelsConfigBackend, models: readonly ModelsConfigModel[]) {
    const apiKey: KeyOrigin = backend.api_key_file !== undefined ? { kind: 'file', path: resolve(dirname(this.#path), backend.api_key_file) }
      : backend.api_key_env !== undefined ? this.#keyOf(name, backend.api_key_env) : { kind: 'none' };
    const region = backend.region ?? (backend.kind === 'aws_bedrock' ? this.#config.AWS_REGION : undefined);
    const settings: ProviderSettings = {
      name, apiKey, timeoutMs: backend.timeout_ms ?? this.#config.AGENTOS_MODEL_TIMEOUT_MS, node: this.#config.AGENTOS_STACK_ID,
      ...(backend.base_url === undefined ? {} : { baseUrl: backend.base_url }),
      ...(region === undefined ? {} : { region }),
      models: models.filter((model) => model.backend === name).map((model) => ({
        modelId: model.backend_model ?? model.id, capabilities: (model.capabilities ?? ['chat']).filter((each) => each === 'chat' || each === 'embed'),
      })),
    };
    const facts: BackendFacts = {
      name, kind: backend.kind, baseUrl: publicUrlOf(backend.base_url), hasApiKey: apiKey.kind !== 'none', region: region ?? null,
      attributes: attributesOf(backend), timeoutMs: settings.timeoutMs, maxConcurrency: backend.max_concurrency ?? null,
      health: {
        ...(backend.health?.probe_interval_ms === undefined ? {} : { probeIntervalMs: backend.health.probe_interval_ms }),
        ...(backend.health?.failure_threshold === undefined ? {} : { failureThreshold: backend.health.failure_threshold }),
        ...(backend.health?.open_ms === undefined ? {} : { openMs: backend.health.open_ms }),
      },
    };
    try {
      return { facts, inner: openProvider(backend.kind, settings) };
    } catch (error) {
      throw new ModelsConfigError([{ path: `/backends/${name}`, message: `cannot be opened: ${(error as Error).message}` }]);
    }
  }

  /** A variable of the node's own may be a file or a reference; any other is read as it stands, which prod refuses. */
  #keyOf(backend: string, variable: string): KeyOrigin {
    const live = this.#secrets?.live(variable as VariableName);
    if (live !== undefined) return { kind: 'live', secret: live };
    if ((this.#config.AGENTOS_MODE ?? this.#config.AGENTOS_PROFILE) === 'prod') throw new ModelsConfigError([{ path: `/backends/${backend}/api_key_env`, message: `names ${variable}, a secret in the environment as plain text, which prod refuses: use api_key_file, or a variable of AgentOS that is set by file or reference, such as OPENAI_API_KEY` }]);
    return { kind: 'variable', name: variable };
  }

  #toModel(backend: ModelsConfigBackend, model: ModelsConfigModel): CatalogueModel {
    return toModel({ provider: this.#set.find(model.backend)!, lastResort: false, attributes: attributesOf(backend) }, {
      modelId: model.id,
      capabilities: model.capabilities ?? ['chat'],
      isListed: model.capabilities !== undefined,
      tiers: model.tiers ?? [],
      price: model.price == null ? null : { inputUsdPerMillion: model.price.input_usd_per_mtok, outputUsdPerMillion: model.price.output_usd_per_mtok },
      aliases: model.aliases ?? [],
      ...(model.backend_model === undefined ? {} : { backendModel: model.backend_model }),
      ...(model.quality === undefined ? {} : { quality: model.quality }),
      ...(model.context_tokens === undefined ? {} : { contextWindowTokens: model.context_tokens }),
      ...(model.max_output_tokens === undefined ? {} : { maxOutputTokens: model.max_output_tokens }),
    });
  }
}

function attributesOf({ attributes }: ModelsConfigBackend): BackendAttributes {
  return { region: attributes?.region ?? null, dataClassification: attributes?.data_classification ?? [] };
}

/** A backend is opened anew when this changes; Bedrock is told its models as well. */
function fingerprintOf(backend: ModelsConfigBackend, models: readonly ModelsConfigModel[]): string {
  const told = backend.kind === 'aws_bedrock' ? models.map((model) => [model.backend_model ?? model.id, model.capabilities]) : [];
  return createHash('sha256').update(JSON.stringify([backend, told])).digest('hex');
}
