/**
 * A tenant's memory in Postgres. A full-text index finds candidates, pgvector or a scan finds neighbours, and the
 * scores of `memory-ranking.ts` decide, so that both adapter families find the same items in the same order.
 *
 * Writes of one tenant take turns: each holds the tenant's row of `memory_usage`, which is what makes the limit exact.
 */
import type pg from 'pg';
import { AuditTrail, withAudit } from '../../platform/audit/audit-trail.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { MemoryEmbedding, MemoryFilter, MemoryItem, MemoryMatch, MemoryMetadata, MemoryPort, MemoryWrite } from '../ports/memory.ts';
import { memoryDeed } from './audited-change.ts';
import { checkEmbedding, checkedWrite, refuseForRoom, type CheckedWrite } from './memory-items.ts';
import { BY_KEYS, DELETE, FIND_PGVECTOR, GET, HOLD_EXPIRED, HOLD_USAGE, KINDS, LIST, NAMESPACES, OPEN_USAGE, SEARCH, SWEEP, USAGE, VECTORS, nearestStatement, putStatement } from './memory-postgres-sql.ts';
import { Best, cosineTo, filterJson, wantedWords, type Ranked } from './memory-ranking.ts';
import { readAsTenant, readScoped, type Statement } from './postgres-read.ts';
import { isoTime } from './run-rows.ts';

interface ItemRow extends pg.QueryResultRow {
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  readonly metadata: MemoryMetadata;
  readonly bytes: number;
  readonly embedded: boolean;
  readonly created_ms: number;
  readonly updated_ms: number;
  readonly expires_ms: number | null;
}

interface VectorRow extends pg.QueryResultRow {
  readonly key: string;
  readonly embedding: Buffer;
}

/** Rows of vectors that are read at once: about 12 MB of them at 1,536 numbers each. */
const STRETCH = 1_000;
/** pgvector counts in 32 bits: near neighbours may stand in another order there, so a few more are asked for. */
const MARGIN = 16;
/** Expired items of a tenant that a write removes at once when it needs their room. */
const ROOM_BATCH = 1_000;

const itemOf = (row: ItemRow): MemoryItem => ({
  namespace: row.namespace,
  key: row.key,
  value: row.value,
  metadata: row.metadata,
  bytes: row.bytes,
  createdAt: isoTime(row.created_ms),
  updatedAt: isoTime(row.updated_ms),
  expiresAt: row.expires_ms === null ? null : isoTime(row.expires_ms),
  embedded: row.embedded,
});

export class PostgresMemory implements MemoryPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #put: Statement;
  readonly #nearest: Statement | null;

  /** @param pgvector the schema that pgvector's type lives in, quoted; null where vectors are scanned. */
  constructor(pool: pg.Pool, pgvector: string | null = null, trail: AuditTrail = new AuditTrail({ service: 'agent-orchestrator' })) {
    this.#pool = pool;
    this.#trail = trail;
    this.#put = putStatement(pgvector);
    this.#nearest = pgvector === null ? null : nearestStatement(pgvector);
  }

  /** Uses pgvector where the migrations found it. @throws AgentOsError for database errors. */
  static async open(pool: pg.Pool, trail?: AuditTrail): Promise<PostgresMemory> {
    try {
      return new PostgresMemory(pool, (await pool.query<{ home: string }>(FIND_PGVECTOR)).rows[0]?.home ?? null, trail);
    } catch (error) {
      throw fromDatabaseError(error);
    }
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.1', durable: true, features: ['keyword_search', 'vector_search', ...(this.#nearest === null ? [] : ['pgvector'])] };
  }

  async put(auth: AuthContext, item: MemoryWrite): Promise<MemoryItem & { readonly created: boolean }> {
    const write = checkedWrite(item);
    const outcome = await withAudit(this.#pool, this.#trail, auth.tenant_id, async (client, note) => {
      const stored = await this.#write(client, auth.tenant_id, item, write);
      const facts = typeof stored === 'number' ? null : memoryDeed(auth, 'put', item.namespace, item.key, { created: !stored.replaced, bytes: stored.bytes });
      if (facts !== null) note(auth, facts);
      return stored;
    });
    if (typeof outcome === 'number') refuseForRoom(write.maxBytes!, outcome, write.bytes);
    return { ...itemOf(outcome), created: !outcome.replaced };
  }

  async get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null> {
    const [row] = await readScoped<ItemRow>(this.#pool, GET, [auth.tenant_id, namespace, key]);
    return row === undefined ? null : itemOf(row);
  }

  async delete(auth: AuthContext, namespace: string, key: string): Promise<boolean> {
    return withAudit(this.#pool, this.#trail, auth.tenant_id, async (client, note) => {
      const held = client.query({ ...HOLD_USAGE, values: [auth.tenant_id] });
      const [, gone] = await Promise.all([held, client.query<{ seen: boolean }>({ ...DELETE, values: [auth.tenant_id, namespace, key] })]);
      const seen = gone.rows[0]?.seen ?? false;
      const facts = seen ? memoryDeed(auth, 'delete', namespace, key) : null;
      if (facts !== null) note(auth, facts);
      return seen;
    });
  }

  async list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]> {
    return (await readScoped<ItemRow>(this.#pool, LIST, [auth.tenant_id, namespace, query.after ?? '', query.prefix ?? '', query.limit])).map(itemOf);
  }

  async search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]> {
    const wanted = wantedWords(query.text);
    if (wanted.length === 0) return [];
    const values = [auth.tenant_id, namespace, wanted.map((word) => `'${word}'`).join(' & '), wanted, filterJson(query.filter), query.limit];
    const rows = await readAsTenant<ItemRow & { score: number }>(this.#pool, auth.tenant_id, SEARCH, values);
    return rows.map((row) => ({ ...itemOf(row), score: row.score }));
  }

  async searchByVector(auth: AuthContext, namespace: string, query: { readonly embedding: MemoryEmbedding; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]> {
    checkEmbedding(query.embedding);
    const { model, vector } = query.embedding;
    const filter = query.filter === undefined || Object.keys(query.filter).length === 0 ? null : filterJson(query.filter);
    const kind = [auth.tenant_id, namespace, model, vector.length, filter];
    return withTenant(this.#pool, auth.tenant_id, async (client) => {
      const ranked = this.#nearest === null
        ? await scan(client, kind, vector, query.limit)
        : rank((await client.query<VectorRow>({ ...this.#nearest, values: [...kind, realArray(vector), query.limit * 2 + MARGIN] })).rows, vector, new Best(query.limit)).ranked;
      const items = await client.query<ItemRow>({ ...BY_KEYS, values: [auth.tenant_id, namespace, ranked.map(({ key }) => key)] });
      const byKey = new Map(items.rows.map((row) => [row.key, row]));
      return ranked.flatMap(({ key, score }) => (byKey.has(key) ? [{ ...itemOf(byKey.get(key)!), score }] : []));
    });
  }

  async embeddings(auth: AuthContext, namespace: string): Promise<readonly { readonly model: string; readonly dimension: number }[]> {
    return (await readScoped<{ model: string; dimension: number }>(this.#pool, KINDS, [auth.tenant_id, namespace])).map(({ model, dimension }) => ({ model, dimension }));
  }

  async namespaces(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<readonly { readonly namespace: string; readonly items: number; readonly bytes: number }[]> {
    const rows = await readScoped<{ namespace: string; items: number; bytes: number }>(this.#pool, NAMESPACES, [auth.tenant_id, query.after ?? '', query.limit]);
    return rows.map(({ namespace, items, bytes }) => ({ namespace, items, bytes }));
  }

  async usage(auth: AuthContext): Promise<{ readonly items: number; readonly bytes: number }> {
    const [row] = await readScoped<{ items: number; bytes: number }>(this.#pool, USAGE, [auth.tenant_id]);
    return { items: row?.items ?? 0, bytes: row?.bytes ?? 0 };
  }

  async sweep(limit: number): Promise<number> {
    return withScheduler(this.#pool, async (client) => {
      const held = await client.query<{ tenant_id: string }>({ ...HOLD_EXPIRED, values: [limit] });
      return held.rows.length === 0 ? 0 : sweepOf(client, limit, held.rows.map((row) => row.tenant_id));
    });
  }

  /** What was stored, or the bytes in use when there is no room. */
  async #write(client: pg.PoolClient, tenantId: string, item: MemoryWrite, write: CheckedWrite): Promise<(ItemRow & { replaced: boolean }) | number> {
    const values = [
      tenantId, item.namespace, item.key, write.valueJson, write.metadataJson, write.words, write.bytes, write.ttlSeconds, write.maxBytes,
      write.embedding?.model ?? null, write.embedding?.vector.length ?? null, write.embedding === null ? null : bytesOf(write.embedding.vector),
      ...(this.#nearest === null ? [] : [write.embedding === null ? null : realArray(write.embedding.vector)]),
    ];
    for (;;) {
      const [held, stored] = await Promise.all([
        client.query<{ bytes: string }>({ ...HOLD_USAGE, values: [tenantId] }),
        client.query<ItemRow & { replaced: boolean }>({ ...this.#put, values }),
      ]);
      // The tenant's row was made in between: nothing says that this write saw all that came before it.
      if (stored.rows[0] !== undefined && held.rows[0] === undefined) throw Object.assign(new Error('The first write of a tenant was overtaken.'), { code: '40001' });
      if (stored.rows[0] !== undefined) return stored.rows[0];
      if (held.rows[0] === undefined) await client.query({ ...OPEN_USAGE, values: [tenantId] });
      else if ((await sweepOf(client, ROOM_BATCH, [tenantId])) === 0) return Number(held.rows[0].bytes);
    }
  }
}

async function sweepOf(client: pg.PoolClient, limit: number, tenantIds: readonly string[]): Promise<number> {
  return (await client.query<{ swept: number }>({ ...SWEEP, values: [limit, tenantIds] })).rows[0]!.swept;
}

/** Compares every vector of a kind, a stretch at a time. */
async function scan(client: pg.PoolClient, kind: readonly unknown[], question: Float32Array, limit: number): Promise<readonly Ranked[]> {
  const best = new Best(limit);
  for (let after = ''; ; ) {
    const { rows } = await client.query<VectorRow>({ ...VECTORS, values: [...kind, after, STRETCH] });
    rank(rows, question, best);
    if (rows.length < STRETCH) return best.ranked;
    after = rows.at(-1)!.key;
  }
}

function rank(rows: readonly VectorRow[], question: Float32Array, best: Best): Best {
  const cosine = cosineTo(question);
  for (const row of rows) best.offer({ key: row.key, score: cosine(vectorOf(row.embedding)) });
  return best;
}

/** Little-endian, as every processor that Node.js runs on has it, so that no number is converted. */
const bytesOf = (vector: Float32Array): Buffer => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);

function vectorOf(bytes: Buffer): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(Uint8Array.from(bytes).buffer);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

const realArray = (vector: Float32Array): string => `{${vector.join(',')}}`;
