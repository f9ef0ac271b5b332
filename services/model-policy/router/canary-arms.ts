/** How a canary and the model beside it do: the last calls of each, and what the gates make of them. */
import type { CanaryRule } from './routing-rules.ts';

export type Arm = 'canary' | 'baseline';

export interface ArmReading {
  readonly samples: number;
  /** null before the first call. */
  readonly errorRate: number | null;
  readonly p95Ms: number | null;
}

/** Calls that rates and percentiles are made of. */
const KEPT = 1_000;

class ArmRecord {
  samples = 0;
  readonly #failed: boolean[] = [];
  /** Milliseconds of the calls that were answered; null for those that failed. */
  readonly #ms: (number | null)[] = [];

  add(failed: boolean, latencyMs: number): void {
    const place = this.samples % KEPT;
    this.#failed[place] = failed;
    this.#ms[place] = failed ? null : latencyMs;
    this.samples += 1;
  }

  get errorRate(): number | null {
    return this.#failed.length === 0 ? null : this.#failed.filter(Boolean).length / this.#failed.length;
  }

  get p95Ms(): number | null {
    const answered = this.#ms.filter((ms) => ms !== null).sort((one, other) => one - other);
    return answered.length === 0 ? null : answered[Math.ceil(answered.length * 0.95) - 1]!;
  }

  read(): ArmReading {
    return { samples: this.samples, errorRate: this.errorRate, p95Ms: this.p95Ms };
  }
}

export class CanaryArms {
  readonly #arms = { canary: new ArmRecord(), baseline: new ArmRecord() };

  add(arm: Arm, failed: boolean, latencyMs: number): void {
    this.#arms[arm].add(failed, latencyMs);
  }

  read(arm: Arm): ArmReading {
    return this.#arms[arm].read();
  }

  /** Why the canary has to go; null while it may stay. */
  verdict({ gates }: CanaryRule): string | null {
    const { canary } = this.#arms;
    if (canary.samples < gates.minSamples) return null;
    const { errorRate, p95Ms } = canary;
    if (gates.maxErrorRate !== null && errorRate !== null && errorRate > gates.maxErrorRate) return `error_rate ${rounded(errorRate)} > ${gates.maxErrorRate}`;
    if (gates.maxP95Ms !== null && p95Ms !== null && p95Ms > gates.maxP95Ms) return `p95_ms ${rounded(p95Ms)} > ${gates.maxP95Ms}`;
    return null;
  }
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000;
