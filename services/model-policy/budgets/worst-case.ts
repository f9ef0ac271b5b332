/**
 * What a call may use at most, to be held before it is made.
 *
 * The answer is bounded by what the backend is told, so a call under a budget always tells it. The input is an
 * estimate of a tokenizer that is not at hand (metering/tokens.ts), which is held with a margin; should the backend
 * count more all the same, the difference is booked when the call is settled.
 */
import { costMicroUsd, type TokenPrice } from '../metering/price.ts';

export interface WorstCase {
  readonly tokens: number;
  readonly costMicroUsd: number | null;
  /** To be told to the backend; null for embeddings. */
  readonly maxOutputTokens: number | null;
}

/** Allowance for an answer where neither the caller nor the model sets one. */
const DEFAULT_MAX_OUTPUT_TOKENS = 4_096;
const INPUT_MARGIN = 1.25;

export interface CallShape {
  readonly operation: 'chat' | 'embed';
  readonly inputTokens: number;
  /** As asked for or lowered by a limit; null: not said. */
  readonly maxOutputTokens: number | null;
  readonly model: { readonly price: TokenPrice | null; readonly maxOutputTokens: number | null };
}

export function worstCase({ operation, inputTokens, maxOutputTokens, model }: CallShape): WorstCase {
  const input = Math.ceil(inputTokens * INPUT_MARGIN);
  const allowed = Math.min(maxOutputTokens ?? model.maxOutputTokens ?? DEFAULT_MAX_OUTPUT_TOKENS, model.maxOutputTokens ?? Number.MAX_SAFE_INTEGER);
  const output = operation === 'embed' ? 0 : allowed;
  return { tokens: input + output, costMicroUsd: costMicroUsd(model.price, input, output), maxOutputTokens: operation === 'embed' ? null : allowed };
}
