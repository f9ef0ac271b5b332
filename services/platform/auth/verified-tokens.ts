/**
 * Tokens that were verified, so that a signature is checked once and not once a request. Bounded in number and in
 * memory; a token is forgotten when it expires, and at once when its key retires.
 */
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { IssuerKey, KeySource } from './issuer-keys.ts';

export interface VerifiedToken {
  readonly auth: AuthContext;
  readonly expiresMs: number;
  readonly key: Pick<IssuerKey, 'retired'>;
  readonly source: Pick<KeySource, 'isFresh'>;
}

const MAX_TOKENS = 10_000;
const MAX_CHARACTERS = 8 * 1024 * 1024;

export class VerifiedTokens {
  #tokens = new Map<string, VerifiedToken>();
  #characters = 0;

  /** @param nowMs Unix time */
  recall(token: string, nowMs: number): AuthContext | null {
    const known = this.#tokens.get(token);
    if (known === undefined) return null;
    if (known.expiresMs > nowMs && !known.key.retired) return known.source.isFresh() ? known.auth : null;
    this.#forget(token);
    return null;
  }

  remember(token: string, verified: VerifiedToken): void {
    this.#forget(token);
    while (this.#tokens.size >= MAX_TOKENS || this.#characters + token.length > MAX_CHARACTERS) {
      // Maps keep insertion order, so the first is the oldest.
      const oldest = this.#tokens.keys().next().value;
      if (oldest === undefined) return;
      this.#forget(oldest);
    }
    this.#tokens.set(token, verified);
    this.#characters += token.length;
  }

  get size(): number {
    return this.#tokens.size;
  }

  clear(): void {
    this.#tokens.clear();
    this.#characters = 0;
  }

  #forget(token: string): void {
    if (this.#tokens.delete(token)) this.#characters -= token.length;
  }
}
