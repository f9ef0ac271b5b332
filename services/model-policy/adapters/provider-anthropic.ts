/** Anthropic's Messages API. It has no embeddings, no seed and no penalties; a request that sets these is answered without. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort } from '../ports/provider.ts';
import { AnthropicStreamReader, readMessage } from './anthropic/answer.ts';
import { toMessagesBody } from './anthropic/body.ts';
import { notOffered } from './wire/failures.ts';
import { asArray, asObject, isCount, textOf } from './wire/json.ts';
import { ACCEPT, streamAnswer } from './wire/stream-answer.ts';
import { CallIds, FunctionNames } from './wire/tools.ts';
import { ModelTransport, type TransportSettings } from './wire/transport.ts';

export interface AnthropicSettings extends TransportSettings {
  /** For requests without a limit, since the API wants one; 4096 when absent. */
  readonly defaultMaxTokens?: number;
}

const API_VERSION = '2023-06-01';
const DEFAULT_MAX_TOKENS = 4096;

export class AnthropicProvider implements ProviderPort {
  readonly backend: string;
  readonly node: string;
  private readonly transport: ModelTransport;
  private readonly defaultMaxTokens: number;

  /** @throws Error for a base URL or a key that cannot be used. */
  constructor(settings: AnthropicSettings) {
    this.backend = settings.backend;
    this.transport = new ModelTransport(settings, (key) => ({ 'anthropic-version': API_VERSION, ...(key === null ? {} : { 'x-api-key': key }) }));
    this.node = this.transport.url.host;
    this.defaultMaxTokens = settings.defaultMaxTokens ?? DEFAULT_MAX_TOKENS;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'anthropic', contractVersion: '1.1', durable: false, features: ['chat', 'stream', 'tools', 'stop', 'json_schema'] };
  }

  async models(): Promise<readonly ProviderModel[]> {
    const data = asArray(asObject(await this.transport.get('/models?limit=1000', { signal: new AbortController().signal, traceparent: '' }))?.['data']);
    if (data === null) throw this.transport.badAnswer('a model list without data');
    return data.map((entry) => asObject(entry)).filter((entry) => textOf(entry, 'id') !== '').map((entry): ProviderModel => ({
      modelId: textOf(entry, 'id'),
      capabilities: ['chat'],
      ...(isCount(entry?.['max_input_tokens']) ? { contextWindowTokens: entry['max_input_tokens'] } : {}),
      ...(isCount(entry?.['max_tokens']) ? { maxOutputTokens: entry['max_tokens'] } : {}),
    }));
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    const names = new FunctionNames(request.tools);
    const body = await this.transport.post('/messages', toMessagesBody(request, names, this.defaultMaxTokens), options);
    const answer = readMessage(body, request, names, new CallIds(options.traceparent, request.messages));
    if (answer === null) throw this.transport.badAnswer('a message without content');
    return answer;
  }

  chatStream(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk> {
    const names = new FunctionNames(request.tools);
    const reader = new AnthropicStreamReader({
      backend: this.backend, request, names, ids: new CallIds(options.traceparent, request.messages), readError: (error) => this.transport.readError(error),
    });
    const body = { ...toMessagesBody(request, names, this.defaultMaxTokens), stream: true };
    return streamAnswer(this.backend, () => this.transport.open('/messages', body, ACCEPT.sse, options), 'sse', reader);
  }

  embed(_auth: AuthContext, _request: ProviderEmbedRequest, _options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    return Promise.reject(notOffered(this.backend, 'embeddings'));
  }

  async health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }> {
    try {
      await this.transport.get('/models?limit=1', { signal, traceparent: '' });
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
