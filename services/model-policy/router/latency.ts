/**
 * How long each model has taken lately: a moving average that is forgotten after a minute, so that a model which was
 * slow once is tried again.
 */
import type { LatencyReading } from './candidates.ts';
import type { CatalogueModel } from './catalogue.ts';

const WEIGHT_OF_NEWEST = 0.2;
const MEMORY_MS = 60_000;
/** Calls that the median is made of. */
const KEPT = 64;

export class LatencyBook implements LatencyReading {
  private readonly entries = new Map<string, { averageMs: number; atMs: number; readonly latest: number[]; count: number }>();
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  record(model: CatalogueModel, latencyMs: number): void {
    const key = keyOf(model);
    let entry = this.entries.get(key);
    if (entry === undefined) this.entries.set(key, (entry = { averageMs: latencyMs, atMs: 0, latest: [], count: 0 }));
    const now = this.now();
    if (now - entry.atMs > MEMORY_MS) entry.averageMs = latencyMs;
    else entry.averageMs += (latencyMs - entry.averageMs) * WEIGHT_OF_NEWEST;
    entry.atMs = now;
    entry.latest[entry.count % KEPT] = latencyMs;
    entry.count += 1;
  }

  recentMs(model: CatalogueModel): number | null {
    const entry = this.entries.get(keyOf(model));
    return entry === undefined || this.now() - entry.atMs > MEMORY_MS ? null : entry.averageMs;
  }

  /** Milliseconds, of the latest calls, however long ago; null before the first. */
  medianMs(model: CatalogueModel): number | null {
    const latest = this.entries.get(keyOf(model))?.latest.toSorted((one, other) => one - other);
    return latest?.[Math.floor(latest.length / 2)] ?? null;
  }
}

/** A model stays the same one when the catalogue is loaded again. */
function keyOf({ backend, modelId }: CatalogueModel): string {
  return `${backend} ${modelId}`;
}
