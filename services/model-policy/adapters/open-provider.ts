/** Every kind of backend by its name in configuration. */
import type { ProviderModel, ProviderPort } from '../ports/provider.ts';
import { AnthropicProvider } from './provider-anthropic.ts';
import { AwsBedrockProvider } from './provider-aws-bedrock.ts';
import { BuiltinProvider } from './provider-builtin.ts';
import { OllamaProvider } from './provider-ollama.ts';
import { OpenAiCompatibleProvider } from './provider-openai-compatible.ts';
import { OpenAiProvider } from './provider-openai.ts';
import { TgiProvider } from './provider-tgi.ts';
import { VllmProvider } from './provider-vllm.ts';
import type { KeyOrigin } from './wire/api-key.ts';
import type { TransportSettings } from './wire/transport.ts';

export type ProviderKind = 'builtin' | 'openai' | 'openai_compatible' | 'vllm' | 'tgi' | 'ollama' | 'anthropic' | 'aws_bedrock';

/** Members that a kind has no use for are passed over. Times are in milliseconds; the transport has defaults for all but the first. */
export interface ProviderSettings {
  /** As it stands in `route.backend`. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs?: number;
  readonly firstByteTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly maxConnections?: number;
  /** Without it a kind that has a public address is found there. */
  readonly baseUrl?: string;
  readonly apiKey?: KeyOrigin;
  /** Bedrock's. */
  readonly region?: string;
  /** Models of a backend that cannot list them. */
  readonly models?: readonly ProviderModel[];
  /** The built-in model's: the name of this stack. */
  readonly node?: string;
}

export type OpenProvider = ProviderPort & { close(): Promise<void> };

export const OPENAI_URL = 'https://api.openai.com/v1';
export const ANTHROPIC_URL = 'https://api.anthropic.com/v1';

/** @throws Error that says which setting is missing or cannot be used, without repeating a secret. */
export function openProvider(kind: ProviderKind, settings: ProviderSettings): OpenProvider {
  switch (kind) {
    case 'builtin':
      return Object.assign(new BuiltinProvider(settings.node ?? 'local'), { close: () => Promise.resolve() });
    case 'openai':
      return new OpenAiProvider(transportOf(settings, OPENAI_URL));
    case 'openai_compatible':
      return new OpenAiCompatibleProvider(transportOf(settings));
    case 'vllm':
      return new VllmProvider(transportOf(settings));
    case 'tgi':
      return new TgiProvider(transportOf(settings));
    case 'ollama':
      // The native API stands beside the imitation of OpenAI's, whose address many write.
      return new OllamaProvider(transportOf({ ...settings, baseUrl: (settings.baseUrl ?? 'http://127.0.0.1:11434').replace(/\/v1\/*$/, '') }));
    case 'anthropic':
      return new AnthropicProvider(transportOf({ ...settings, baseUrl: withVersion(settings.baseUrl ?? ANTHROPIC_URL) }));
    case 'aws_bedrock': {
      const { name, region, models, ...rest } = settings;
      if (region === undefined) throw new Error('the region is missing');
      return new AwsBedrockProvider({ ...rest, backend: name, region, models: models ?? [] });
    }
  }
}

/** Anthropic's own clients write the base URL without the version. */
function withVersion(baseUrl: string): string {
  const url = baseUrl.replace(/\/+$/, '');
  return url.endsWith('/v1') ? url : `${url}/v1`;
}

function transportOf(settings: ProviderSettings, publicUrl?: string): TransportSettings {
  const { name, baseUrl, apiKey, ...rest } = settings;
  const url = baseUrl ?? publicUrl;
  if (url === undefined) throw new Error('the base URL is missing');
  return { ...rest, backend: name, baseUrl: url, apiKey: apiKey ?? { kind: 'none' } };
}
