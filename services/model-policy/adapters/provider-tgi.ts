/**
 * Text Generation Inference. It serves one model, has no embeddings, writes a schema for the answer in a form of its
 * own, and in older versions lists its model only at `/info`.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ResponseFormat } from '../ports/provider.ts';
import { OpenAiCompatibleProvider } from './provider-openai-compatible.ts';
import { notOffered } from './wire/failures.ts';
import { asObject, isCount, textOf } from './wire/json.ts';
import { ModelTransport, type TransportSettings } from './wire/transport.ts';

export class TgiProvider extends OpenAiCompatibleProvider {
  private readonly root: ModelTransport;

  constructor(settings: TransportSettings) {
    super(settings, { tokenLimitMember: 'max_tokens', responseFormat: grammar });
    this.root = new ModelTransport({ ...settings, baseUrl: settings.baseUrl.replace(/\/v1\/*$/, ''), maxConnections: 2 });
  }

  override capabilities(): PortCapabilities {
    return { ...super.capabilities(), adapter: 'tgi', features: ['chat', 'stream', 'tools', 'stop', 'seed', 'json_schema'] };
  }

  override async models(): Promise<readonly ProviderModel[]> {
    const info = asObject(await this.root.get('/info', { signal: new AbortController().signal, traceparent: '' }).catch((error: unknown) => {
      if (error instanceof AgentOsError && error.code === 'not_found') return null;
      throw error;
    }));
    const modelId = textOf(info, 'model_id');
    if (modelId === '') return super.models();
    const window = info?.['max_total_tokens'];
    return [{ modelId, capabilities: ['chat'], ...(isCount(window) ? { contextWindowTokens: window } : {}) }];
  }

  override embed(_auth: AuthContext, _request: ProviderEmbedRequest, _options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    return Promise.reject(notOffered(this.backend, 'embeddings'));
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), this.root.close()]);
  }
}

/** TGI takes a grammar: the kind, and the schema as its value. */
function grammar(format: ResponseFormat): unknown {
  if (format.type === 'text') return undefined;
  return { type: 'json_object', value: format.type === 'json_schema' ? format.schema : { type: 'object' } };
}
