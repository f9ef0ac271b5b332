/**
 * Rate limiting by the generic cell rate algorithm, for keys that strangers choose: one number a key, and no more keys
 * than fit. A key that was not heard of for long is forgotten; what it would have remembered has mostly lapsed by then.
 */
export interface GcraRule {
  /** Calls a second, in the long run. */
  readonly perSecond: number;
  /** Calls that may come at once. */
  readonly burst: number;
}

export interface GcraVerdict {
  readonly allowed: boolean;
  /** Calls that could follow at once. */
  readonly remaining: number;
  /** Until the next call is let through; 0 when this one was. */
  readonly retryAfterMs: number;
  /** Until the whole burst is there again. */
  readonly resetMs: number;
}

interface Cell {
  /** Theoretical arrival time of the next call, in ms of the monotonic clock. */
  arrivalMs: number;
}

export class Gcra {
  readonly rule: GcraRule;
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  readonly #half: number;
  // Two generations in place of a linked list: what is used moves to the young one, and when that is full the old one goes.
  #young = new Map<string, Cell>();
  #old = new Map<string, Cell>();

  /** @param maxKeys how many keys are remembered at the most. */
  constructor(rule: GcraRule, maxKeys: number) {
    this.rule = rule;
    this.#intervalMs = 1_000 / rule.perSecond;
    this.#toleranceMs = this.#intervalMs * rule.burst;
    this.#half = Math.max(1, Math.floor(maxKeys / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Counts a call, unless it is refused. `nowMs` is monotonic. */
  take(key: string, nowMs: number): GcraVerdict {
    const cell = this.#find(key) ?? this.#add(key);
    const next = Math.max(cell.arrivalMs, nowMs) + this.#intervalMs;
    const ahead = next - nowMs;
    if (ahead > this.#toleranceMs + 1e-6) return { allowed: false, remaining: 0, retryAfterMs: ahead - this.#toleranceMs, resetMs: ahead - this.#intervalMs };
    cell.arrivalMs = next;
    return { allowed: true, remaining: Math.floor((this.#toleranceMs - ahead) / this.#intervalMs + 1e-6), retryAfterMs: 0, resetMs: ahead };
  }

  /** How long a call would have to wait, without counting it: 0 when it could come now. */
  waitMs(key: string, nowMs: number): number {
    const cell = this.#find(key);
    if (cell === undefined) return 0;
    return Math.max(0, Math.max(cell.arrivalMs, nowMs) + this.#intervalMs - nowMs - this.#toleranceMs);
  }

  #find(key: string): Cell | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.#keep(key, old);
    return old;
  }

  #add(key: string): Cell {
    const cell = { arrivalMs: 0 };
    this.#keep(key, cell);
    return cell;
  }

  #keep(key: string, cell: Cell): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, cell);
  }
}
