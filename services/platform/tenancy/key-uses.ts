/**
 * When keys were last used, to the minute, written behind the requests that use them: noted in memory, flushed together
 * every few seconds, at most once a minute a key and process. A process that dies forgets the last few seconds of it.
 */
export interface KeyUse {
  readonly tenantId: string;
  readonly keyId: string;
  /** Start of the minute, in milliseconds since 1970. */
  readonly minuteMs: number;
}

const FLUSH_MS = 2_000;
const MINUTE_MS = 60_000;
/** Keys remembered at most; beyond it the notes of a moment are dropped, which costs their precision and nothing else. */
const MAX_KEYS = 20_000;

export class KeyUses {
  readonly #write: (uses: readonly KeyUse[]) => Promise<void>;
  readonly #now: () => number;
  /** Minute in which each key was noted last. */
  readonly #noted = new Map<string, number>();
  #waiting = new Map<string, KeyUse>();
  #timer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> = Promise.resolve();

  /** @param write may fail: then the uses are noted again with the next one of the minute after. */
  constructor(write: (uses: readonly KeyUse[]) => Promise<void>, now: () => number = Date.now) {
    this.#write = write;
    this.#now = now;
  }

  note({ tenantId, keyId }: { readonly tenantId: string; readonly keyId: string }): void {
    const now = this.#now();
    const minuteMs = now - (now % MINUTE_MS);
    if (this.#noted.get(keyId) === minuteMs) return;
    if (this.#noted.size >= MAX_KEYS) this.#noted.clear();
    this.#noted.set(keyId, minuteMs);
    if (this.#waiting.size < MAX_KEYS) this.#waiting.set(keyId, { tenantId, keyId, minuteMs });
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** Writes what is noted. Never rejects. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const uses = [...this.#waiting.values()];
    this.#waiting = new Map();
    if (uses.length > 0) this.#flushing = this.#flushing.then(() => this.#write(uses)).catch(() => undefined);
    return this.#flushing;
  }
}
