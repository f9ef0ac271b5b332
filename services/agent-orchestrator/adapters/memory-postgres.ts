/**
 * A tenant's memory in Postgres. The words of each item are kept beside it; a full-text index narrows a search down
 * and the words decide, so that both adapter families find the same items in the same order.
 */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { MemoryItem, MemoryPort } from '../ports/memory.ts';
import { checkedValue, matchScore, searchableWords, wordsOf } from './memory-items.ts';
import { readAsTenant } from './postgres-read.ts';
import { isoTime, storableJson } from './run-rows.ts';

const COLUMNS = `m.namespace, m.key, m.value, m.metadata, (extract(epoch FROM m.updated_at) * 1000)::float8 AS updated_ms`;

const PUT = {
  name: 'ao_memory_put',
  text: `INSERT INTO orchestrator.memory_items AS m (tenant_id, namespace, key, value, metadata, words, updated_at)
    VALUES ($1, $2, $3, $4::json, $5::json, $6, clock_timestamp())
    ON CONFLICT (tenant_id, namespace, key) DO UPDATE
      SET value = excluded.value, metadata = excluded.metadata, words = excluded.words, updated_at = excluded.updated_at
    RETURNING ${COLUMNS}`,
};
const GET = { name: 'ao_memory_get', text: `SELECT ${COLUMNS} FROM orchestrator.memory_items m WHERE m.tenant_id = $1 AND m.namespace = $2 AND m.key = $3` };
const DELETE = { name: 'ao_memory_delete', text: 'DELETE FROM orchestrator.memory_items m WHERE m.tenant_id = $1 AND m.namespace = $2 AND m.key = $3 RETURNING m.key' };
const LIST = {
  name: 'ao_memory_list',
  text: `SELECT ${COLUMNS} FROM orchestrator.memory_items m
    WHERE m.tenant_id = $1 AND m.namespace = $2 AND m.key > $3 AND starts_with(m.key, $4) ORDER BY m.key LIMIT $5`,
};
/** Candidates; at most a thousand are ranked. */
const SEARCH = {
  name: 'ao_memory_search',
  text: `SELECT ${COLUMNS}, m.words FROM orchestrator.memory_items m
    WHERE m.tenant_id = $1 AND m.namespace = $2 AND to_tsvector('simple', m.words) @@ plainto_tsquery('simple', $3) ORDER BY m.key LIMIT 1000`,
};

interface ItemRow extends pg.QueryResultRow {
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly updated_ms: number;
}

const itemOf = (row: ItemRow): MemoryItem => ({ namespace: row.namespace, key: row.key, value: row.value, metadata: row.metadata, updatedAt: isoTime(row.updated_ms) });

export class PostgresMemory implements MemoryPort {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: ['keyword_search'] };
  }

  async put(auth: AuthContext, item: { readonly namespace: string; readonly key: string; readonly value: unknown; readonly metadata?: Readonly<Record<string, unknown>> }): Promise<MemoryItem> {
    const json = checkedValue(item);
    const values = [auth.tenant_id, item.namespace, item.key, storableJson(item.value ?? null), storableJson(item.metadata ?? {}), searchableWords(item.key, json)];
    return itemOf((await this.#query(auth, PUT, values))[0]!);
  }

  async get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null> {
    const [row] = await this.#query(auth, GET, [auth.tenant_id, namespace, key]);
    return row === undefined ? null : itemOf(row);
  }

  async delete(auth: AuthContext, namespace: string, key: string): Promise<boolean> {
    return (await readAsTenant(this.#pool, auth.tenant_id, DELETE, [auth.tenant_id, namespace, key])).length === 1;
  }

  async list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]> {
    return (await this.#query(auth, LIST, [auth.tenant_id, namespace, query.after ?? '', query.prefix ?? '', query.limit])).map(itemOf);
  }

  async search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number }): Promise<readonly MemoryItem[]> {
    const wanted = wordsOf(query.text);
    if (wanted.length === 0) return [];
    const rows = await readAsTenant<ItemRow & { words: string }>(this.#pool, auth.tenant_id, SEARCH, [auth.tenant_id, namespace, wanted.join(' ')]);
    return rows
      .map((row) => ({ row, score: matchScore(row.words, wanted) }))
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, query.limit)
      .map(({ row }) => itemOf(row));
  }

  #query(auth: AuthContext, statement: { name: string; text: string }, values: readonly unknown[]): Promise<ItemRow[]> {
    return readAsTenant<ItemRow>(this.#pool, auth.tenant_id, statement, values);
  }
}
