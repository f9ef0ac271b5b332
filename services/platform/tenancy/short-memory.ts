/**
 * Remembers an answer for less than a second, so that what is read on every request costs one query a second.
 *
 * In the second half of its time an answer is still given while a new one is fetched behind it, so that no request
 * waits for the query that its neighbours have just had. Bounded; callers that ask at once share one query.
 */
const FRESH_MS = 500;
const STALE_MS = 1_000;
const MAX_ENTRIES = 10_000;

interface Entry<Value> {
  readonly value: Promise<Value>;
  readonly at: number;
  refreshing: boolean;
}

export class ShortMemory<Value> {
  readonly #load: (key: string) => Promise<Value>;
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #now: () => number;

  constructor(load: (key: string) => Promise<Value>, now: () => number = () => performance.now()) {
    this.#load = load;
    this.#now = now;
  }

  get(key: string): Promise<Value> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#fetch(key);
    const age = this.#now() - entry.at;
    if (age >= STALE_MS) return this.#fetch(key);
    if (age >= FRESH_MS && !entry.refreshing) {
      entry.refreshing = true;
      void this.#refresh(key, entry);
    }
    return entry.value;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  #fetch(key: string): Promise<Value> {
    const value = this.#load(key);
    this.#store(key, value, this.#now());
    // A failure is nobody's answer but that of those who waited for it.
    value.catch(() => {
      if (this.#entries.get(key)?.value === value) this.#entries.delete(key);
    });
    return value;
  }

  async #refresh(key: string, old: Entry<Value>): Promise<void> {
    const at = this.#now();
    try {
      const value = await this.#load(key);
      if (this.#entries.get(key) === old) this.#store(key, Promise.resolve(value), at);
    } catch {
      old.refreshing = false;
    }
  }

  #store(key: string, value: Promise<Value>, at: number): void {
    this.#entries.delete(key);
    if (this.#entries.size >= MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, { value, at, refreshing: false });
  }
}
