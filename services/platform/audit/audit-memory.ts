/** AuditPort in the memory of the process: the same chains, gone with it. */
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuditFilter, AuditPage, AuditPort, AuditQuery, AuditRecord, ChainHead } from './audit.ts';
import { exportLine, matches, newestFirst, recordOf } from './audit-record.ts';
import type { AuditRow } from './audit-row.ts';
import type { AppendedRow } from './audit-sql.ts';
import type { AuditFollower } from './audit-trail.ts';
import { GENESIS_HASH, chainTexts, type ChainedRecord, type ChainName } from './chain.ts';

interface Chain {
  readonly name: ChainName;
  readonly records: ChainedRecord[];
}

export class MemoryAudit implements AuditPort {
  readonly #chains = new Map<string, Chain>();
  readonly #followers: readonly AuditFollower[];
  #lastMicros = 0;

  constructor(followers: readonly AuditFollower[] = []) {
    this.#followers = followers;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  /** For memory adapters of other ports: at once, in the tick in which the deed is done. */
  add(...rows: readonly AuditRow[]): void {
    if (rows.length === 0) return;
    const touched = groupByChain(rows);
    const chains = [...touched].map(([key, own]) => this.#extend(key, own));
    for (const follower of this.#followers) follower.committed(rows, chains);
  }

  async append(_auth: AuthContext | null, rows: readonly AuditRow[]): Promise<void> {
    this.add(...rows);
  }

  async list(auth: AuthContext, query: AuditQuery): Promise<AuditPage> {
    const { after } = query;
    const own = this.#records(auth.tenant_id, query).filter((record) => after === undefined || record.sequence < (after[record.service] ?? Infinity));
    const records = own.sort(newestFirst).slice(0, query.limit);
    if (records.length === own.length) return { records, next: null };
    const next: Record<string, number> = {};
    // Also of chains without a record on this page: what is added to them meanwhile is newer than all that follows.
    for (const { service, sequence } of await this.heads(auth.tenant_id)) next[service] = after?.[service] ?? sequence + 1;
    for (const { service, sequence } of records) next[service] = sequence;
    return { records, next };
  }

  async *export(auth: AuthContext, filter: AuditFilter): AsyncIterable<string> {
    for (const record of this.#records(auth.tenant_id, filter).sort((a, b) => newestFirst(b, a))) {
      const name = { tenantId: record.tenant_id, service: record.service };
      yield exportLine(name, this.#chains.get(keyOf(name))!.records[record.sequence - 1]!);
    }
  }

  async heads(tenantId: string | null): Promise<readonly ChainHead[]> {
    return [...this.#chains.values()]
      .filter(({ name }) => tenantId === null || name.tenantId === tenantId)
      .map(({ name, records }) => ({ ...name, sequence: records.length, hash: records.at(-1)!.hash }));
  }

  async *chain(name: ChainName): AsyncIterable<ChainedRecord> {
    yield* this.#chains.get(keyOf(name))?.records ?? [];
  }

  /** To the microsecond, and later than any before, so that what was done in this process keeps its order over all chains. */
  #moment(): string {
    this.#lastMicros = Math.max(this.#lastMicros + 1, Math.floor((performance.timeOrigin + performance.now()) * 1000));
    return `${new Date(Math.floor(this.#lastMicros / 1000)).toISOString().slice(0, -1)}${String(this.#lastMicros % 1000).padStart(3, '0')}Z`;
  }

  #records(tenantId: string, filter: AuditFilter): AuditRecord[] {
    return [...this.#chains.values()]
      .filter(({ name }) => name.tenantId === tenantId)
      .flatMap(({ name, records }) => records.map((record) => recordOf(name, record)))
      .filter((record) => matches(record, filter));
  }

  #extend(key: string, rows: readonly AuditRow[]): AppendedRow {
    const name = { tenantId: rows[0]!.tenant_id, service: rows[0]!.service };
    const chain = this.#chains.get(key) ?? { name, records: [] };
    this.#chains.set(key, chain);
    const last = chain.records.at(-1);
    const recordedAt = this.#moment();
    const previousHash = last?.hash ?? GENESIS_HASH;
    chain.records.push(...chainTexts(name, previousHash, last?.sequence ?? 0, recordedAt, rows.map(({ entry }) => JSON.stringify(entry))));
    const { sequence, hash } = chain.records.at(-1)!;
    return { tenant_id: name.tenantId, service: name.service, sequence, recorded_at: recordedAt, previous_hash: previousHash, hash };
  }
}

const keyOf = ({ tenantId, service }: ChainName): string => `${tenantId} ${service}`;
const chainKey = (row: AuditRow): string => keyOf({ tenantId: row.tenant_id, service: row.service });

function groupByChain(rows: readonly AuditRow[]): Map<string, AuditRow[]> {
  const groups = new Map<string, AuditRow[]>();
  for (const row of rows) {
    const group = groups.get(chainKey(row));
    if (group === undefined) groups.set(chainKey(row), [row]);
    else group.push(row);
  }
  return groups;
}
