/**
 * Any server that speaks OpenAI's chat completions and embeddings: LM Studio, llama.cpp, LiteLLM, Groq, Together and
 * many more. Thin on purpose: a request of ours becomes one HTTP call, its answer one of ours.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort } from '../ports/provider.ts';
import { readChatAnswer, readEmbedAnswer } from './openai/answer.ts';
import { PLAIN_DIALECT, toChatBody, type OpenAiDialect } from './openai/body.ts';
import { OpenAiStreamReader } from './openai/stream.ts';
import { asArray, asObject, type Json } from './wire/json.ts';
import { ACCEPT, streamAnswer } from './wire/stream-answer.ts';
import { CallIds, FunctionNames } from './wire/tools.ts';
import { ModelTransport, type OpenAnswer, type TransportSettings } from './wire/transport.ts';

/** The list of models does not say what they are for; names do. */
const EMBEDS = /embed|(?:^|[/_-])(?:bge|gte|e5)[-_]/i;
const NO_TRACE = { signal: new AbortController().signal, traceparent: '' };

export class OpenAiCompatibleProvider implements ProviderPort {
  readonly backend: string;
  readonly node: string;
  protected readonly transport: ModelTransport;
  private readonly dialect: OpenAiDialect;
  /** False once the server has refused the member that asks for usage in a stream. */
  private asksForUsage = true;

  /** @throws Error for a base URL or a key that cannot be used. */
  constructor(settings: TransportSettings, dialect: OpenAiDialect = PLAIN_DIALECT) {
    this.backend = settings.backend;
    this.transport = new ModelTransport(settings);
    this.node = this.transport.url.host;
    this.dialect = dialect;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'openai-compatible', contractVersion: '1.1', durable: false, features: ['chat', 'stream', 'embed', 'tools', 'stop', 'seed', 'json_schema', 'dimensions'] };
  }

  /** What the server lists. */
  async models(): Promise<readonly ProviderModel[]> {
    const data = asArray(asObject(await this.transport.get('/models', NO_TRACE))?.['data']);
    if (data === null) throw this.transport.badAnswer('a model list without data');
    return data.map((entry) => asObject(entry)).filter((entry) => typeof entry?.['id'] === 'string' && entry['id'] !== '').map((entry) => toModel(entry!));
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    const names = new FunctionNames(request.tools);
    const body = await this.transport.post('/chat/completions', toChatBody(request, names, this.dialect), options);
    const answer = readChatAnswer(body, request, names, new CallIds(options.traceparent, request.messages));
    if (answer === null) throw this.transport.badAnswer('a completion without a message');
    return answer;
  }

  chatStream(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk> {
    const names = new FunctionNames(request.tools);
    const reader = new OpenAiStreamReader({
      backend: this.backend, request, names, ids: new CallIds(options.traceparent, request.messages), readError: (error) => this.transport.readError(error),
    });
    return streamAnswer(this.backend, () => this.openStream({ ...toChatBody(request, names, this.dialect), stream: true }, options), 'sse', reader);
  }

  async embed(_auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    const { model, texts, dimensions } = request;
    const body = await this.transport.post('/embeddings', { model, input: texts, encoding_format: 'float', ...(dimensions === undefined ? {} : { dimensions }) }, options);
    const answer = readEmbedAnswer(body, texts);
    if (answer === null) throw this.transport.badAnswer('embeddings that do not match the texts');
    return answer;
  }

  async health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }> {
    try {
      await this.transport.get('/models', { signal, traceparent: '' });
      return { ok: true };
    } catch (error) {
      // A server that answers "no such path" is there all the same.
      return error instanceof AgentOsError && error.code === 'not_found' ? { ok: true } : { ok: false, cause: error };
    }
  }

  /** Ends the kept connections once the calls under way have ended. */
  close(): Promise<void> {
    return this.transport.close();
  }

  private async openStream(body: Json, options: ProviderCallOptions): Promise<OpenAnswer> {
    const send = (more: Json): Promise<OpenAnswer> => this.transport.open('/chat/completions', { ...body, ...more }, ACCEPT.sse, options);
    if (!this.asksForUsage) return send({});
    try {
      return await send({ stream_options: { include_usage: true } });
    } catch (error) {
      if (!refusesUsage(error)) throw error;
      // A server that is older than this member; its usage is estimated from now on. Nothing was generated yet.
      this.asksForUsage = false;
      return send({});
    }
  }
}

function refusesUsage(error: unknown): boolean {
  return error instanceof AgentOsError && error.code === 'invalid_request' && /stream_options|include_usage/.test(error.message);
}

function toModel(entry: Json): ProviderModel {
  const window = entry['max_model_len'] ?? entry['context_length'];
  return {
    modelId: entry['id'] as string,
    capabilities: EMBEDS.test(entry['id'] as string) ? ['embed'] : ['chat'],
    ...(Number.isSafeInteger(window) ? { contextWindowTokens: window as number } : {}),
  };
}
