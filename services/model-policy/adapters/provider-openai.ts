/** OpenAI's own API. What differs from the servers that imitate it: the token limit's name, and a list of models of all sorts. */
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderModel } from '../ports/provider.ts';
import { plainFormat } from './openai/body.ts';
import { OpenAiCompatibleProvider } from './provider-openai-compatible.ts';
import type { TransportSettings } from './wire/transport.ts';

/** Neither chat completions nor embeddings. */
const OTHER_KINDS = /whisper|tts|dall-e|image|audio|realtime|transcribe|moderation|sora|davinci|babbage|search-api|computer-use/;

export class OpenAiProvider extends OpenAiCompatibleProvider {
  constructor(settings: TransportSettings) {
    super(settings, { tokenLimitMember: 'max_completion_tokens', responseFormat: plainFormat });
  }

  override capabilities(): PortCapabilities {
    return { ...super.capabilities(), adapter: 'openai' };
  }

  override async models(): Promise<readonly ProviderModel[]> {
    return (await super.models()).filter((model) => !OTHER_KINDS.test(model.modelId));
  }
}
