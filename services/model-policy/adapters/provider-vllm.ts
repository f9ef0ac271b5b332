/** vLLM's OpenAI-compatible server. It speaks the plain dialect; its errors and its streams have turns of their own, which the readers know. */
import type { PortCapabilities } from '../../platform/port.ts';
import { OpenAiCompatibleProvider } from './provider-openai-compatible.ts';

export class VllmProvider extends OpenAiCompatibleProvider {
  override capabilities(): PortCapabilities {
    return { ...super.capabilities(), adapter: 'vllm' };
  }
}
