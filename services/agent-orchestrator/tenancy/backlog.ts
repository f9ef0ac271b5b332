/**
 * How many runs wait on the node, as far as one process knows it, so that the node refuses new ones before it drowns
 * (HLD 10.2): 503 with Retry-After for everybody, where a tenant's own limits answer 429.
 *
 * Counting the queue costs as much as the queue is long, so it is done now and then, in a transaction that creates runs
 * and without a round trip of its own; whoever counts holds a lock until its runs are committed. Near the limit each
 * such transaction counts, and so the limit is exact over any number of processes, unless within a quarter of a second
 * others create half of it (of a short queue, four fifths).
 *
 * While a crowd stands before a full queue, few of them are let through to count it again: a count and its lock take
 * from the workers, who are the ones that make room, and a place that waits a moment for its run waits behind a whole
 * queue of others.
 */
import { Crowd } from './crowd.ts';

const RECOUNT_MS = 250;
/** The share of the limit from which on every creation counts. */
const NEAR = 0.5;
/** A short queue is soon full, and soon counted: it is counted from this share on. */
const SHORT_QUEUE = 2_000;
const NEAR_IN_SHORT_QUEUE = 0.2;
/** A crowd that found the queue full has it counted again so often; a short queue may be empty sooner. */
const SHORTEST_FULL_MS = 20;
const LONGEST_FULL_MS = 200;

export class Backlog {
  #queued = 0;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  #limit = Number.POSITIVE_INFINITY;
  readonly #crowd = new Crowd();

  /** Told what the runs to be created are held to. */
  within(limit: number | undefined): void {
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
  }

  /** The queue has to be counted, and no further than this; null: what is known will do. */
  countUpTo(nowMs: number, creations: number): number | null {
    if (!Number.isFinite(this.#limit)) return null;
    const near = this.#limit * (this.#limit <= SHORT_QUEUE ? NEAR_IN_SHORT_QUEUE : NEAR);
    return this.#queued + creations >= near || nowMs - this.#countedAtMs >= RECOUNT_MS ? this.#limit : null;
  }

  counted(queued: number, nowMs: number): void {
    this.#queued = queued;
    this.#countedAtMs = nowMs;
  }

  /** The limit that stands in the way of one more run, or null; `admitted` counts it. */
  full(nowMs: number): number | null {
    if (this.#queued < this.#limit) return null;
    this.#crowd.refused(nowMs);
    return this.#limit;
  }

  /** As `full`, where nobody need ask: the queue was full a moment ago, and a crowd has been told so. */
  standing(limit: number | undefined, nowMs: number): number | null {
    const standsMs = Math.min(LONGEST_FULL_MS, Math.max(SHORTEST_FULL_MS, this.#limit));
    if (limit !== this.#limit || nowMs - this.#countedAtMs >= standsMs || !this.#crowd.isMany(nowMs)) return null;
    return this.full(nowMs);
  }

  admitted(): void {
    this.#queued += 1;
  }
}
