/**
 * MemoryPort: a tenant's namespaced memory (PRS 5.2). `tool.kv.*` and `/v1/memory` stand on it.
 *
 * The store decides nothing about models or plans: vectors come with the item and with the question, and the limit in
 * bytes comes with each write. `memory/memory.ts` brings both. Order is part of the contract, so that adapters can be
 * exchanged: keys go by their UTF-8 bytes; equal scores go by key; scores have six decimals.
 *
 * Features: `keyword_search` (`search`), `vector_search` (`searchByVector`, `embeddings`), `pgvector` (vectors are
 * compared by the database). A feature that is not declared is refused with `invalid_request`.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export type MemoryMetadataValue = string | number | boolean;
export type MemoryMetadata = Readonly<Record<string, MemoryMetadataValue>>;

export interface MemoryItem {
  readonly namespace: string;
  readonly key: string;
  /** Any JSON value. */
  readonly value: unknown;
  readonly metadata: MemoryMetadata;
  /** What the item counts against the tenant's limit: key, value and metadata as JSON, text, and 4 for each number of its vector. */
  readonly bytes: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly expiresAt: string | null;
  /** True when the item has a vector. */
  readonly embedded: boolean;
}

/** Vectors are compared only with vectors of the same model and the same length. */
export interface MemoryEmbedding {
  /** e.g. `openai/text-embedding-3-small`. */
  readonly model: string;
  /** 1 to 4096 finite numbers, not all of them 0; kept as 32-bit floats. */
  readonly vector: Float32Array;
}

export interface MemoryWrite {
  /** Namespace and key: 1 to 256 characters. */
  readonly namespace: string;
  readonly key: string;
  /** At most 64 KiB as JSON. */
  readonly value: unknown;
  /** At most 4 KiB as JSON. */
  readonly metadata?: MemoryMetadata;
  /** What `search` finds beside the key's words, at most 64 KiB; the strings and numbers of the value when absent. */
  readonly text?: string;
  /** Seconds until nobody sees the item any more; never when absent. */
  readonly ttlSeconds?: number;
  readonly embedding?: MemoryEmbedding;
  /** What all items of the tenant may take after this write; not limited when absent or null. */
  readonly maxBytes?: number | null;
}

/** A member holds when the item's metadata has this value, or one of these. All members must hold. */
export type MemoryFilter = Readonly<Record<string, MemoryMetadataValue | readonly MemoryMetadataValue[]>>;

export interface MemoryMatch extends MemoryItem {
  /** Higher is better; six decimals. Comparable within one search alone. */
  readonly score: number;
}

export interface MemoryPort {
  capabilities(): PortCapabilities;
  /**
   * Writes or replaces, whole; `created` says which. A write that needs no more room than the item it replaces is never refused for
   * room. Exact under concurrency: the items of a tenant never take more than `maxBytes` through any interleaving of writes.
   * @throws AgentOsError invalid_request (out of bounds), quota_exceeded (reason memory_bytes_exceeded, limit, used, requested).
   */
  put(auth: AuthContext, item: MemoryWrite): Promise<MemoryItem & { readonly created: boolean }>;
  /** null when there is none, or it has expired. */
  get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null>;
  /** True when something was deleted that could be seen. */
  delete(auth: AuthContext, namespace: string, key: string): Promise<boolean>;
  /** Keys in order, at most `limit` after `after`. */
  list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]>;
  /**
   * Items that contain every word of `text`, best first: often, and in few words. Words are runs of letters and digits
   * without regard to case. Of the items that match, the first 10,000 by key are ranked. Needs `keyword_search`.
   */
  search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]>;
  /** Items with a vector of this model and length, by cosine similarity (-1 to 1), exact: nothing is left out. Needs `vector_search`. */
  searchByVector(auth: AuthContext, namespace: string, query: { readonly embedding: MemoryEmbedding; readonly limit: number; readonly filter?: MemoryFilter }): Promise<readonly MemoryMatch[]>;
  /** The kinds of vectors that a namespace holds, by model and length. Needs `vector_search`. */
  embeddings(auth: AuthContext, namespace: string): Promise<readonly { readonly model: string; readonly dimension: number }[]>;
  /** Namespaces with items, by name, at most `limit` after `after`. */
  namespaces(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<readonly { readonly namespace: string; readonly items: number; readonly bytes: number }[]>;
  /** What the tenant's items take now. */
  usage(auth: AuthContext): Promise<{ readonly items: number; readonly bytes: number }>;
  /** Removes at most `limit` expired items, of any tenant, the longest expired first; answers how many. */
  sweep(limit: number): Promise<number>;
}
