/**
 * Identifiers: `<prefix>_<26 Crockford characters>` (Appendix A.1). They are opaque to every reader.
 *
 * `newId` is a monotonic ULID. `derivedId` is a function of its parts alone, so that a retried write produces
 * the identifier of the first attempt (an event id derives from run, step and kind, never from the attempt).
 */
import { hash, randomFillSync } from 'node:crypto';
import { monotonicFactory } from 'ulid';

export type IdPrefix =
  | 'run' | 'stp' | 'evt' | 'tcall' | 'req' | 'corr' | 'key' | 'agt' | 'tnt' | 'idem' | 'ses' | 'lse' | 'wrk' | 'whk' | 'use' | 'dec' | 'rpl' | 'aud' | 'jti' | 'jnl' | 'fwd';

// The library asks for sixteen random numbers in every new millisecond and makes a system call for each; these come
// from a buffer that one call fills.
const random = Buffer.alloc(4096);
let used = random.length;
function randomFraction(): number {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += 1;
  return random[used - 1]! / 256;
}

const firstOf = monotonicFactory(randomFraction);
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const PAIRS = Array.from({ length: 1024 }, (_, number) => `${CROCKFORD[number >> 5]}${CROCKFORD[number & 31]}`);
const TAIL_LENGTH = 5;
const TAILS = 32 ** TAIL_LENGTH;

// A call takes several ids in one millisecond, each of them the one before it plus one: the library makes the first, and
// of the others only the last characters are written anew.
let lastMs = -1;
let stem = '';
let tail = 0;

/** Later is greater, whatever the clock does. */
function ulid(timeMs = Date.now()): string {
  tail += 1;
  if (timeMs > lastMs || tail === TAILS) {
    lastMs = timeMs > lastMs ? timeMs : lastMs + 1;
    const first = firstOf(lastMs);
    stem = first.slice(0, -TAIL_LENGTH);
    tail = 0;
    for (const character of first.slice(-TAIL_LENGTH)) tail = tail * 32 + CROCKFORD.indexOf(character);
  }
  return stem + PAIRS[tail >> 15]! + PAIRS[(tail >> 5) & 1023]! + CROCKFORD[tail & 31]!;
}

/** A new, time-ordered identifier, unique over processes. `timeMs`: of a clock that is not this machine's. */
export function newId(prefix: IdPrefix, timeMs?: number): string {
  return `${prefix}_${ulid(timeMs)}`;
}

/** 26 Crockford characters of SHA-256 over the parts, joined so that ('a','bc') differs from ('ab','c'). */
export function derivedId(prefix: IdPrefix, ...parts: ReadonlyArray<string | number>): string {
  const digest = hash('sha256', parts.join('\u001f'), 'buffer');
  let out = '';
  let bits = 0;
  let buffer = 0;
  for (let i = 0; out.length < 26; i += 1) {
    buffer = (buffer << 8) | digest[i]!;
    bits += 8;
    while (bits >= 5 && out.length < 26) {
      bits -= 5;
      out += CROCKFORD[(buffer >>> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return `${prefix}_${out}`;
}
