/** What was asked of each operation and how it was answered: a fuzz that was only ever refused has tested the refusals alone. */

export interface Asked {
  /** Fits the contract; else it is one fault away from fitting. */
  readonly valid: boolean;
  readonly status: number;
  readonly tookMs: number;
}

interface Count {
  readonly valid: Map<number, number>;
  readonly faulty: Map<number, number>;
  readonly tookMs: number[];
}

export class Tally {
  readonly #counts = new Map<string, Count>();

  add(name: string, { valid, status, tookMs }: Asked): void {
    const count = this.#counts.get(name) ?? { valid: new Map<number, number>(), faulty: new Map<number, number>(), tookMs: [] };
    const statuses = valid ? count.valid : count.faulty;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    count.tookMs.push(tookMs);
    this.#counts.set(name, count);
  }

  /** How many valid requests were answered by one of these statuses. */
  validAnsweredBy(name: string, isProof: (status: number) => boolean): number {
    return [...(this.#counts.get(name)?.valid ?? [])].reduce((sum, [status, times]) => sum + (isProof(status) ? times : 0), 0);
  }

  /** One line an operation: valid requests answered 2xx of all valid ones, every status with its times, and how long answers took. */
  *lines(): Generator<string> {
    for (const [name, { valid, faulty, tookMs }] of this.#counts) {
      const sorted = tookMs.toSorted((a, b) => a - b);
      const times = `${sorted[Math.floor(sorted.length / 2)]!.toFixed(1)} ms, at most ${sorted.at(-1)!.toFixed(0)} ms`;
      yield `${name}: ${this.validAnsweredBy(name, isSuccess)} of ${total(valid)} valid answered 2xx (${spelled(valid)}); one fault away: ${spelled(faulty)}; ${times}`;
    }
  }
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function total(statuses: ReadonlyMap<number, number>): number {
  return [...statuses.values()].reduce((sum, times) => sum + times, 0);
}

function spelled(statuses: ReadonlyMap<number, number>): string {
  return [...statuses].sort(([a], [b]) => a - b).map(([status, times]) => `${status} × ${times}`).join(', ') || 'nothing';
}
