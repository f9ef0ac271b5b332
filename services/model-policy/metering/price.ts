/** What tokens cost, in whole micro-dollars: a dollar for a million tokens is a micro-dollar a token. */
export interface TokenPrice {
  readonly inputUsdPerMillion: number;
  readonly outputUsdPerMillion: number;
}

/** Rounded up, so that many small calls do not cost nothing; null when there is no price. */
export function costMicroUsd(price: TokenPrice | null, inputTokens: number, outputTokens: number): number | null {
  if (price === null) return null;
  const exact = inputTokens * price.inputUsdPerMillion + outputTokens * price.outputUsdPerMillion;
  return Math.max(0, Math.ceil(exact - 1e-6));
}
