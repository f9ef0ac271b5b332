/** A tenant's memory in memory. What has expired is not shown, and counts until it is swept or its room is needed. */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow, type AuditFacts } from '../../platform/audit/audit-row.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { MemoryEmbedding, MemoryFilter, MemoryItem, MemoryMatch, MemoryPort, MemoryWrite } from '../ports/memory.ts';
import { memoryDeed } from './audited-change.ts';
import { checkEmbedding, checkedWrite, refuseForRoom, type CheckedWrite } from './memory-items.ts';
import { Best, MAX_RANKED, compareKeys, cosineTo, keywordScore, passes, wantedWords } from './memory-ranking.ts';

interface StoredItem {
  readonly item: MemoryItem;
  readonly words: string;
  readonly embedding: MemoryEmbedding | null;
  readonly expiresMs: number;
}

interface TenantMemory {
  /** By namespace, then by key. */
  readonly spaces: Map<string, Map<string, StoredItem>>;
  bytes: number;
}

export class MemoryMemory implements MemoryPort {
  readonly #tenants = new Map<string, TenantMemory>();
  readonly #now: () => number;
  readonly #audit: MemoryAudit;

  constructor(now: () => number = Date.now, audit = new MemoryAudit()) {
    this.#now = now;
    this.#audit = audit;
  }

  /** Of a tenant that was deleted. Answers how many items there were. */
  forgetTenant(tenantId: string): number {
    const items = [...(this.#tenants.get(tenantId)?.spaces.values() ?? [])].reduce((sum, space) => sum + space.size, 0);
    this.#tenants.delete(tenantId);
    return items;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.1', durable: false, features: ['keyword_search', 'vector_search'] };
  }

  async put(auth: AuthContext, item: MemoryWrite): Promise<MemoryItem & { readonly created: boolean }> {
    const write = checkedWrite(item);
    const tenant = this.#tenants.get(auth.tenant_id) ?? { spaces: new Map<string, Map<string, StoredItem>>(), bytes: 0 };
    this.#tenants.set(auth.tenant_id, tenant);
    this.#makeRoom(tenant, item, write);
    const space = tenant.spaces.get(item.namespace) ?? new Map<string, StoredItem>();
    tenant.spaces.set(item.namespace, space);
    const old = space.get(item.key);
    const seen = old !== undefined && this.#visible(old) ? old : undefined;
    const stored = this.#stored(item, write, seen);
    space.set(item.key, stored);
    tenant.bytes += write.bytes - (old?.item.bytes ?? 0);
    this.#note(auth, memoryDeed(auth, 'put', item.namespace, item.key, { created: seen === undefined, bytes: write.bytes }));
    return { ...structuredClone(stored.item), created: seen === undefined };
  }

  async get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null> {
    const stored = this.#tenants.get(auth.tenant_id)?.spaces.get(namespace)?.get(key);
    return stored !== undefined && this.#visible(stored) ? structuredClone(stored.item) : null;
  }

  async delete(auth: AuthContext, namespace: string, key: string): Promise<boolean> {
    const tenant = this.#tenants.get(auth.tenant_id);
    const stored = tenant?.spaces.get(namespace)?.get(key);
    if (tenant === undefined || stored === undefined) return false;
    remove(tenant, stored);
    const seen = this.#visible(stored);
    if (seen) this.#note(auth, memoryDeed(auth, 'delete', namespace, key));
    return seen;
  }

  #note(auth: AuthContext, facts: AuditFacts | null): void {
    if (facts !== null) this.#audit.add(auditRow('agent-orchestrator', auth, facts));
  }

  async list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]> {
    return this.#sorted(auth, namespace)
      .filter(({ item }) => compareKeys(item.key, query.after ?? '') > 0 && item.key.startsWith(query.prefix ?? ''))
      .slice(0, query.limit)
      .map(({ item }) => structuredClone(item));
  }

  async search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]> {
    const wanted = wantedWords(query.text);
    const matching = wanted.length === 0 ? [] : this.#sorted(auth, namespace).filter(({ item, words }) => passes(item.metadata, query.filter) && keywordScore(words, wanted) > 0);
    return this.#best(matching.slice(0, MAX_RANKED), query.limit, ({ words }) => keywordScore(words, wanted));
  }

  async searchByVector(auth: AuthContext, namespace: string, query: { readonly embedding: MemoryEmbedding; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]> {
    checkEmbedding(query.embedding);
    const { model, vector } = query.embedding;
    const cosine = cosineTo(vector);
    const comparable = this.#sorted(auth, namespace)
      .filter(({ item, embedding }) => embedding?.model === model && embedding.vector.length === vector.length && passes(item.metadata, query.filter));
    return this.#best(comparable, query.limit, ({ embedding }) => cosine(embedding!.vector));
  }

  async embeddings(auth: AuthContext, namespace: string): Promise<readonly { readonly model: string; readonly dimension: number }[]> {
    const kinds = new Map<string, { model: string; dimension: number }>();
    for (const { embedding } of this.#sorted(auth, namespace)) {
      if (embedding !== null) kinds.set(JSON.stringify([embedding.model, embedding.vector.length]), { model: embedding.model, dimension: embedding.vector.length });
    }
    return [...kinds.values()].sort((a, b) => compareKeys(a.model, b.model) || a.dimension - b.dimension);
  }

  async namespaces(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<readonly { readonly namespace: string; readonly items: number; readonly bytes: number }[]> {
    return [...(this.#tenants.get(auth.tenant_id)?.spaces.keys() ?? [])]
      .filter((namespace) => compareKeys(namespace, query.after ?? '') > 0)
      .sort(compareKeys)
      .map((namespace) => ({ namespace, ...summed(this.#sorted(auth, namespace)) }))
      .filter(({ items }) => items > 0)
      .slice(0, query.limit);
  }

  async usage(auth: AuthContext): Promise<{ readonly items: number; readonly bytes: number }> {
    return summed(storedOf(this.#tenants.get(auth.tenant_id)).filter((stored) => this.#visible(stored)));
  }

  async sweep(limit: number): Promise<number> {
    const expired = [...this.#tenants.values()]
      .flatMap((tenant) => storedOf(tenant).filter((stored) => !this.#visible(stored)).map((stored) => ({ tenant, stored })))
      .sort((a, b) => a.stored.expiresMs - b.stored.expiresMs)
      .slice(0, limit);
    for (const { tenant, stored } of expired) remove(tenant, stored);
    return expired.length;
  }

  /** @throws AgentOsError quota_exceeded when the item does not fit, even without what has expired. */
  #makeRoom(tenant: TenantMemory, item: MemoryWrite, write: CheckedWrite): void {
    const fits = (): boolean => {
      const old = tenant.spaces.get(item.namespace)?.get(item.key)?.item.bytes ?? 0;
      return write.maxBytes === null || write.bytes <= old || tenant.bytes + write.bytes - old <= write.maxBytes;
    };
    if (fits()) return;
    for (const stored of storedOf(tenant)) if (!this.#visible(stored)) remove(tenant, stored);
    if (!fits()) refuseForRoom(write.maxBytes!, tenant.bytes, write.bytes);
  }

  #stored(item: MemoryWrite, write: CheckedWrite, seen: StoredItem | undefined): StoredItem {
    const now = this.#now();
    const expiresMs = write.ttlSeconds === null ? Number.POSITIVE_INFINITY : now + write.ttlSeconds * 1000;
    const updatedAt = new Date(now).toISOString();
    return {
      item: {
        namespace: item.namespace,
        key: item.key,
        value: JSON.parse(write.valueJson) as unknown,
        metadata: JSON.parse(write.metadataJson) as MemoryItem['metadata'],
        bytes: write.bytes,
        createdAt: seen?.item.createdAt ?? updatedAt,
        updatedAt,
        expiresAt: write.ttlSeconds === null ? null : new Date(expiresMs).toISOString(),
        embedded: write.embedding !== null,
      },
      words: write.words,
      embedding: write.embedding === null ? null : { model: write.embedding.model, vector: write.embedding.vector.slice() },
      expiresMs,
    };
  }

  #visible(stored: StoredItem): boolean {
    return stored.expiresMs > this.#now();
  }

  /** What can be seen, in order of the keys. */
  #sorted(auth: AuthContext, namespace: string): StoredItem[] {
    const stored = [...(this.#tenants.get(auth.tenant_id)?.spaces.get(namespace)?.values() ?? [])];
    return stored.filter((one) => this.#visible(one)).sort((a, b) => compareKeys(a.item.key, b.item.key));
  }

  #best(candidates: readonly StoredItem[], limit: number, score: (stored: StoredItem) => number): readonly MemoryMatch[] {
    const best = new Best(limit);
    const byKey = new Map(candidates.map((stored) => [stored.item.key, stored]));
    for (const stored of candidates) best.offer({ key: stored.item.key, score: score(stored) });
    return best.ranked.map((ranked) => ({ ...structuredClone(byKey.get(ranked.key)!.item), score: ranked.score }));
  }
}

const storedOf = (tenant: TenantMemory | undefined): StoredItem[] => [...(tenant?.spaces.values() ?? [])].flatMap((space) => [...space.values()]);

const summed = (stored: readonly StoredItem[]): { items: number; bytes: number } => ({ items: stored.length, bytes: stored.reduce((sum, { item }) => sum + item.bytes, 0) });

function remove(tenant: TenantMemory, { item }: StoredItem): void {
  const space = tenant.spaces.get(item.namespace);
  if (space?.delete(item.key) !== true) return;
  tenant.bytes -= item.bytes;
  if (space.size === 0) tenant.spaces.delete(item.namespace);
}
