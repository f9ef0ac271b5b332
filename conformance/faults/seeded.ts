/** Chance that can be repeated: a test draws from this, prints its seed, and takes one from AGENTOS_CHAOS_SEED. */
export interface Chance {
  readonly seed: number;
  /** An integer, both ends included. */
  between(low: number, high: number): number;
}

/** `npm run chaos` runs the long form of every fault test; `npm test` the short one. */
export const isLongForm = process.env['AGENTOS_CHAOS_FORM'] === 'long';

export function chance(seed: number = seedFromEnvironment()): Chance {
  let state = seed >>> 0;
  // mulberry32: small, and good enough for choosing moments.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { seed, between: (low, high) => low + Math.floor(next() * (high - low + 1)) };
}

function seedFromEnvironment(): number {
  const given = process.env['AGENTOS_CHAOS_SEED'];
  return given === undefined || given === '' ? Math.floor(Math.random() * 1_000_000_000) : Number(given);
}
