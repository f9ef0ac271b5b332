/**
 * Any server that speaks OpenAI's chat completions and embeddings: OpenAI itself, vLLM, TGI, Ollama's `/v1`, and more.
 * Thin on purpose: a request of ours becomes one HTTP call, its answer one of ours.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderEmbedAnswer, ProviderModel, ProviderPort } from '../ports/provider.ts';
import { JsonTransport, type TransportOptions } from './openai/transport.ts';
import { asArray, asObject, FunctionNames, readChatAnswer, readEmbedAnswer, toChatBody } from './openai/wire.ts';

/** OpenAI's own API wants this member; the servers that imitate it know the older one. */
const OPENAI_HOST = 'api.openai.com';

export class OpenAiCompatibleProvider implements ProviderPort {
  readonly backend: string;
  readonly node: string;
  private readonly transport: JsonTransport;
  private readonly tokenLimitMember: 'max_tokens' | 'max_completion_tokens';

  constructor(options: TransportOptions) {
    this.backend = options.backend;
    const url = new URL(options.baseUrl);
    this.node = url.host;
    this.tokenLimitMember = url.hostname === OPENAI_HOST ? 'max_completion_tokens' : 'max_tokens';
    this.transport = new JsonTransport(options);
  }

  capabilities(): PortCapabilities {
    return { adapter: 'openai-compatible', contractVersion: '1.0', durable: false, features: ['chat', 'embed', 'tools'] };
  }

  /** What the server lists. A name with "embed" in it is taken for an embedding model, since the list does not say. */
  async models(): Promise<readonly ProviderModel[]> {
    const body = await this.transport.get('/models', { signal: new AbortController().signal, traceparent: '' });
    const data = asArray(asObject(body)?.['data']);
    if (data === null) throw this.transport.badAnswer('a model list without data');
    return data
      .map((entry) => asObject(entry))
      .filter((entry) => entry !== null && typeof entry['id'] === 'string' && entry['id'] !== '')
      .map((entry): ProviderModel => {
        const window = entry!['max_model_len'] ?? entry!['context_length'];
        return {
          modelId: entry!['id'] as string,
          capabilities: /embed/i.test(entry!['id'] as string) ? ['embed'] : ['chat'],
          ...(Number.isSafeInteger(window) ? { contextWindowTokens: window as number } : {}),
        };
      });
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    const names = new FunctionNames(request.tools);
    const body = await this.transport.post('/chat/completions', toChatBody(request, names, this.tokenLimitMember), options);
    const answer = readChatAnswer(body, request, names);
    if (answer === null) throw this.transport.badAnswer('a completion without a message');
    return answer;
  }

  async embed(_auth: AuthContext, request: { readonly model: string; readonly texts: readonly string[] }, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    const body = await this.transport.post('/embeddings', { model: request.model, input: request.texts, encoding_format: 'float' }, options);
    const answer = readEmbedAnswer(body, request.texts);
    if (answer === null) throw this.transport.badAnswer('embeddings that do not match the texts');
    return answer;
  }

  async health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    try {
      await this.transport.get('/models', { signal, traceparent: '' });
      return { ok: true };
    } catch (error) {
      // A server that answers "no such path" is there all the same.
      if ((error as { code?: string }).code === 'not_found') return { ok: true };
      return { ok: false, detail: (error as Error).message };
    }
  }

  /** Ends the kept connections. */
  close(): Promise<void> {
    return this.transport.close();
  }
}
