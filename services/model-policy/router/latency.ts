/**
 * How long each model has taken lately: a moving average that is forgotten after a minute, so that a model which was
 * slow once is tried again.
 */
import type { LatencyReading } from './candidates.ts';
import type { CatalogueModel } from './catalogue.ts';

const WEIGHT_OF_NEWEST = 0.2;
const MEMORY_MS = 60_000;

export class LatencyBook implements LatencyReading {
  private readonly entries = new Map<CatalogueModel, { averageMs: number; atMs: number }>();
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  record(model: CatalogueModel, latencyMs: number): void {
    const entry = this.entries.get(model);
    const now = this.now();
    if (entry === undefined || now - entry.atMs > MEMORY_MS) this.entries.set(model, { averageMs: latencyMs, atMs: now });
    else {
      entry.averageMs += (latencyMs - entry.averageMs) * WEIGHT_OF_NEWEST;
      entry.atMs = now;
    }
  }

  recentMs(model: CatalogueModel): number | null {
    const entry = this.entries.get(model);
    return entry === undefined || this.now() - entry.atMs > MEMORY_MS ? null : entry.averageMs;
  }
}
