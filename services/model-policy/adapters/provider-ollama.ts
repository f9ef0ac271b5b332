/** Ollama by its native API, which tells a model's context and abilities; its imitation of OpenAI's does not. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort } from '../ports/provider.ts';
import { OllamaStreamReader, readChatAnswer, toChatBody } from './ollama/wire.ts';
import { asArray, asObject, isCount, textOf, type Json } from './wire/json.ts';
import { ACCEPT, streamAnswer } from './wire/stream-answer.ts';
import { CallIds, FunctionNames } from './wire/tools.ts';
import { ModelTransport, type TransportSettings } from './wire/transport.ts';
import { embedUsage, readVectors } from './wire/usage.ts';

const NO_TRACE = { signal: new AbortController().signal, traceparent: '' };
/** For versions that do not tell what a model can. */
const EMBEDS = /embed|bert|minilm|(?:^|[/_-])(?:bge|gte|e5)[-_]/i;

export class OllamaProvider implements ProviderPort {
  readonly backend: string;
  readonly node: string;
  private readonly transport: ModelTransport;

  /** @throws Error for a base URL or a key that cannot be used. */
  constructor(settings: TransportSettings) {
    this.backend = settings.backend;
    this.transport = new ModelTransport(settings);
    this.node = this.transport.url.host;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'ollama', contractVersion: '1.1', durable: false, features: ['chat', 'stream', 'embed', 'tools', 'stop', 'seed', 'json_schema', 'dimensions'] };
  }

  /** Those that are pulled, with what the server tells about each. */
  async models(): Promise<readonly ProviderModel[]> {
    const listed = asArray(asObject(await this.transport.get('/api/tags', NO_TRACE))?.['models']);
    if (listed === null) throw this.transport.badAnswer('a model list without models');
    const named = listed.map((entry) => asObject(entry)).filter((entry): entry is Json => entry !== null && textOf(entry, 'name') !== '');
    return Promise.all(named.map(async (entry): Promise<ProviderModel> => {
      const about = asObject(await this.transport.post('/api/show', { model: textOf(entry, 'name') }, NO_TRACE).catch(() => null));
      const window = contextWindow(asObject(about?.['model_info']));
      return { modelId: textOf(entry, 'name'), capabilities: embeds(entry, about) ? ['embed'] : ['chat'], ...(window === null ? {} : { contextWindowTokens: window }) };
    }));
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    const names = new FunctionNames(request.tools);
    const body = await this.transport.post('/api/chat', toChatBody(request, names, false), options);
    const answer = readChatAnswer(body, request, names, new CallIds(options.traceparent, request.messages));
    if (answer === null) throw this.transport.badAnswer('a chat answer without a message');
    return answer;
  }

  chatStream(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk> {
    const names = new FunctionNames(request.tools);
    const reader = new OllamaStreamReader({
      backend: this.backend, request, names, ids: new CallIds(options.traceparent, request.messages), readError: (error) => this.transport.readError(error),
    });
    return streamAnswer(this.backend, () => this.transport.open('/api/chat', toChatBody(request, names, true), ACCEPT.ndjson, options), 'ndjson', reader);
  }

  async embed(_auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    const { model, texts, dimensions } = request;
    // A text that is too long is refused, in place of being cut without a word.
    const body = asObject(await this.transport.post('/api/embed', { model, input: texts, truncate: false, ...(dimensions === undefined ? {} : { dimensions }) }, options));
    const vectors = readVectors(asArray(body?.['embeddings']), texts.length);
    if (vectors === null) throw this.transport.badAnswer('embeddings that do not match the texts');
    return { vectors, usage: embedUsage(body?.['prompt_eval_count'], texts) };
  }

  async health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }> {
    try {
      await this.transport.get('/api/version', { signal, traceparent: '' });
      return { ok: true };
    } catch (cause) {
      return { ok: false, cause };
    }
  }

  /** Ends the kept connections once the calls under way have ended. */
  close(): Promise<void> {
    return this.transport.close();
  }
}

function embeds(entry: Json, about: Json | null): boolean {
  const told = asArray(about?.['capabilities']);
  if (told !== null) return told.includes('embedding') && !told.includes('completion');
  const families = asArray(asObject(entry['details'])?.['families']) ?? [];
  return EMBEDS.test(textOf(entry, 'name')) || families.some((family) => typeof family === 'string' && /bert/.test(family));
}

/** `<architecture>.context_length` */
function contextWindow(info: Json | null): number | null {
  for (const [name, value] of Object.entries(info ?? {})) if (name.endsWith('.context_length') && isCount(value)) return value;
  return null;
}
