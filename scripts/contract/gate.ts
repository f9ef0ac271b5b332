/** The vocabulary of the gates: what was looked at, what is wrong, and what to type next. */

export interface GateResult {
  readonly gate: string;
  /** How many things were looked at, in the gate's own words, e.g. `312 cases`. */
  readonly looked: string;
  readonly problems: readonly string[];
  /** Things worth saying that do not fail the gate, e.g. that there is nothing to compare with. */
  readonly notes: readonly string[];
  /** What to do when there are problems. */
  readonly next: string;
}

export interface TimedGateResult extends GateResult {
  readonly seconds: number;
}

export async function timed(run: () => Promise<GateResult> | GateResult): Promise<TimedGateResult> {
  const started = performance.now();
  const result = await run();
  return { ...result, seconds: (performance.now() - started) / 1000 };
}
