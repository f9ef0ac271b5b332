/** Token counts where a backend leaves them out. */
import { estimateMessages } from '../../metering/messages.ts';
import { estimateTokens } from '../../metering/tokens.ts';
import type { ProviderChatRequest, ProviderUsage } from '../../ports/provider.ts';
import { isCount } from './json.ts';

/**
 * What the backend counted, and an estimate for what it did not.
 * @param written the answer's text and the arguments of its calls
 */
export function chatUsage(input: unknown, output: unknown, request: ProviderChatRequest, written: () => string): ProviderUsage {
  if (isCount(input) && isCount(output)) return { inputTokens: input, outputTokens: output };
  return {
    inputTokens: isCount(input) ? input : estimateMessages(request.messages, request.tools),
    outputTokens: isCount(output) ? output : estimateTokens(written()),
    estimated: true,
  };
}

export function embedUsage(input: unknown, texts: readonly string[]): ProviderUsage {
  if (isCount(input)) return { inputTokens: input, outputTokens: 0 };
  return { inputTokens: texts.reduce((sum, text) => sum + estimateTokens(text), 0), outputTokens: 0, estimated: true };
}

/** null when there are not as many vectors of numbers as texts. */
export function readVectors(raw: readonly unknown[] | null, count: number): readonly (readonly number[])[] | null {
  if (raw === null || raw.length !== count) return null;
  for (const vector of raw) if (!Array.isArray(vector) || vector.length === 0 || !vector.every((each) => typeof each === 'number')) return null;
  return raw as readonly (readonly number[])[];
}
