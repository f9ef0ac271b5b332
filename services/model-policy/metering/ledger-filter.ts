/** Which rows of the ledger a question is about, and their sums by day; shared by adapters that hold rows in memory. */
import type { UsageByModel, UsageEntry, UsageFilter } from '../ports/usage.ts';

export function matchesFilter(entry: UsageEntry, filter: UsageFilter): boolean {
  if (filter.fromMs !== undefined && entry.atMs < filter.fromMs) return false;
  if (filter.toMs !== undefined && entry.atMs >= filter.toMs) return false;
  if (filter.model !== undefined && entry.model !== filter.model) return false;
  if (filter.runId !== undefined && entry.runId !== filter.runId) return false;
  return filter.agentId === undefined || entry.agentId === filter.agentId;
}

/** Newest day first, then by model and backend. Released attempts used nothing and are no requests. */
export function sumByModel(entries: Iterable<UsageEntry>): UsageByModel[] {
  const sums = new Map<string, { -readonly [Key in keyof UsageByModel]: UsageByModel[Key] }>();
  for (const entry of entries) {
    if (entry.state === 'released') continue;
    const day = new Date(entry.atMs).toISOString().slice(0, 10);
    const key = `${day}\n${entry.model}\n${entry.backend}`;
    let sum = sums.get(key);
    if (sum === undefined) sums.set(key, (sum = { day, model: entry.model, backend: entry.backend, requests: 0, inputTokens: 0, outputTokens: 0, costMicroUsd: null }));
    sum.requests += 1;
    sum.inputTokens += entry.inputTokens;
    sum.outputTokens += entry.outputTokens;
    if (entry.costMicroUsd !== null) sum.costMicroUsd = (sum.costMicroUsd ?? 0) + entry.costMicroUsd;
  }
  return [...sums.values()].sort((one, other) => compare(other.day, one.day) || compare(one.model, other.model) || compare(one.backend, other.backend));
}

const compare = (one: string, other: string): number => (one === other ? 0 : one < other ? -1 : 1);
