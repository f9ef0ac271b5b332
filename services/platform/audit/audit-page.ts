/** One page out of several chains: newest first over all, and where each chain's next page goes on. */
import type { AuditPage } from './audit.ts';
import { newestFirst, recordOf } from './audit-record.ts';
import type { ChainedRecord } from './chain.ts';

export interface Found {
  readonly service: string;
  readonly record: ChainedRecord;
}

/** The places of one chain that a listing is about: from `first` on, `below` excluded. */
export interface Window {
  readonly service: string;
  readonly first: number;
  readonly below: number;
}

/**
 * @param windows `floor`: how far down this page looked.
 * @param found of each service the newest that match, `limit` at most.
 * @param moments when the record at the floor was written, for the chains that go on below it: what is older than that
 *   in other chains has to wait for a later page, or the order would break.
 */
export function mergePage(
  tenantId: string, windows: readonly (Window & { readonly floor: number })[], found: readonly Found[],
  moments: readonly { readonly service: string; readonly recorded_at: string }[], limit: number,
): AuditPage {
  const counts = new Map<string, number>();
  for (const { service } of found) counts.set(service, (counts.get(service) ?? 0) + 1);
  // A chain that gave as many as were asked for may hide some below; those cannot come before the ones it gave.
  const horizon = moments.filter(({ service }) => (counts.get(service) ?? 0) < limit).reduce((latest, { recorded_at }) => (recorded_at > latest ? recorded_at : latest), '');
  const sorted = found.map(({ service, record }) => recordOf({ tenantId, service }, record)).sort(newestFirst);
  const records = sorted.filter(({ recorded_at }) => recorded_at >= horizon).slice(0, limit);
  const next: Record<string, number> = {};
  for (const { service, below, floor } of windows) {
    const own = records.filter((record) => record.service === service);
    const given = counts.get(service) ?? 0;
    next[service] = own.length === given && given < limit ? floor : (own.at(-1)?.sequence ?? below);
  }
  const more = windows.some(({ service, first }) => next[service]! > first);
  return { records, next: more ? next : null };
}
