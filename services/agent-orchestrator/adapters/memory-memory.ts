/** A tenant's memory in memory. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { MemoryItem, MemoryPort } from '../ports/memory.ts';
import { checkedValue, matchScore, searchableWords, wordsOf } from './memory-items.ts';

interface StoredItem {
  readonly item: MemoryItem;
  readonly words: string;
}

export class MemoryMemory implements MemoryPort {
  /** By tenant and namespace, then by key. */
  readonly #items = new Map<string, Map<string, StoredItem>>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: ['keyword_search'] };
  }

  async put(auth: AuthContext, item: { readonly namespace: string; readonly key: string; readonly value: unknown; readonly metadata?: Readonly<Record<string, unknown>> }): Promise<MemoryItem> {
    const json = checkedValue(item);
    const stored: MemoryItem = {
      namespace: item.namespace,
      key: item.key,
      value: JSON.parse(json) as unknown,
      metadata: structuredClone(item.metadata ?? {}),
      updatedAt: new Date().toISOString(),
    };
    this.#space(auth, item.namespace).set(item.key, { item: stored, words: searchableWords(item.key, json) });
    return structuredClone(stored);
  }

  async get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null> {
    return structuredClone(this.#space(auth, namespace).get(key)?.item ?? null);
  }

  async delete(auth: AuthContext, namespace: string, key: string): Promise<boolean> {
    return this.#space(auth, namespace).delete(key);
  }

  async list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]> {
    return this.#sorted(auth, namespace)
      .filter(({ item }) => Buffer.compare(Buffer.from(item.key), Buffer.from(query.after ?? '')) > 0 && item.key.startsWith(query.prefix ?? ''))
      .slice(0, query.limit)
      .map(({ item }) => structuredClone(item));
  }

  async search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number }): Promise<readonly MemoryItem[]> {
    const wanted = wordsOf(query.text);
    if (wanted.length === 0) return [];
    return this.#sorted(auth, namespace)
      .map((stored) => ({ stored, score: matchScore(stored.words, wanted) }))
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, query.limit)
      .map(({ stored }) => structuredClone(stored.item));
  }

  #space(auth: AuthContext, namespace: string): Map<string, StoredItem> {
    const name = JSON.stringify([auth.tenant_id, namespace]);
    const space = this.#items.get(name) ?? new Map<string, StoredItem>();
    this.#items.set(name, space);
    return space;
  }

  /** In order of the keys' bytes, as the database's C collation has it. */
  #sorted(auth: AuthContext, namespace: string): StoredItem[] {
    return [...this.#space(auth, namespace).values()].sort((a, b) => Buffer.compare(Buffer.from(a.item.key), Buffer.from(b.item.key)));
  }
}
