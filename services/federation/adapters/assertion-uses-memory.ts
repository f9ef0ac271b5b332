/** Uses of assertions that this process has seen, for tests and for a node of one process. */
import type { PortCapabilities } from '../../platform/port.ts';
import type { AssertionUse, AssertionUsesPort } from '../ports/assertion-uses.ts';

/** Longer than clocks differ. */
const KEPT_MS = 60_000;
const LOOK_MS = 10_000;

export class MemoryAssertionUses implements AssertionUsesPort {
  readonly #used = new Map<string, number>();
  #nextLookMs = 0;

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async use({ issuer, jti, expiresAtMs }: AssertionUse): Promise<boolean> {
    this.#forgetExpired(Date.now());
    const key = JSON.stringify([issuer, jti]);
    if (this.#used.has(key)) return false;
    this.#used.set(key, expiresAtMs);
    return true;
  }

  #forgetExpired(nowMs: number): void {
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + LOOK_MS;
    for (const [key, expiresAtMs] of this.#used) if (expiresAtMs + KEPT_MS < nowMs) this.#used.delete(key);
  }
}
