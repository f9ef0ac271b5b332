/**
 * A secret that may be replaced while the process runs. Whoever keeps the holder rather than the text sees the new value;
 * whoever must act on a change watches.
 *
 * A key that signs is replaced in overlap. Processes learn of a new value at different moments, so the old one goes on
 * signing for half the overlap (`settled`), and is accepted for all of it (`accepted`).
 */
export interface LiveSecret {
  current(): string;
  /** The newest value that every process has had the time to learn of. */
  settled(): string;
  /** The newest value first, then those that it replaced within the overlap. */
  accepted(): readonly string[];
  /** Called with each new value. Answers how to stop it. A listener must not throw. */
  watch(listener: (value: string) => void): () => void;
  /** Somebody was refused with the current value: its source is looked at ahead of time. */
  refused(): void;
}

interface Held {
  readonly value: string;
  readonly sinceMs: number;
}

export interface SecretHolderOptions {
  readonly overlapMs?: number;
  readonly onRefused?: () => void;
  readonly now?: () => number;
}

export class SecretHolder implements LiveSecret {
  /** Newest first; never empty. */
  #held: readonly Held[];
  readonly #listeners = new Set<(value: string) => void>();
  readonly #overlapMs: number;
  readonly #onRefused: () => void;
  readonly #now: () => number;

  constructor(value: string, options: SecretHolderOptions = {}) {
    this.#overlapMs = options.overlapMs ?? 0;
    this.#onRefused = options.onRefused ?? (() => undefined);
    this.#now = options.now ?? (() => performance.now());
    // What a process begins with is as old as can be: there is nothing before it to sign with.
    this.#held = [{ value, sinceMs: Number.NEGATIVE_INFINITY }];
  }

  current(): string {
    return this.#held[0]!.value;
  }

  settled(): string {
    const latest = this.#now() - this.#overlapMs / 2;
    return (this.#held.find((each) => each.sinceMs <= latest) ?? this.#held.at(-1)!).value;
  }

  accepted(): readonly string[] {
    this.#forget();
    return this.#held.map((each) => each.value);
  }

  watch(listener: (value: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  refused(): void {
    this.#onRefused();
  }

  /** True when the value is a new one. */
  replace(value: string): boolean {
    if (value === this.current()) return false;
    this.#forget();
    this.#held = [{ value, sinceMs: this.#now() }, ...this.#held.filter((each) => each.value !== value)];
    for (const listener of this.#listeners) listener(value);
    return true;
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return 'SecretHolder { [secret] }';
  }

  /** A value ends its overlap that long after the next one came. */
  #forget(): void {
    const oldest = this.#now() - this.#overlapMs;
    this.#held = this.#held.filter((_, index) => index === 0 || this.#held[index - 1]!.sinceMs > oldest);
  }
}
