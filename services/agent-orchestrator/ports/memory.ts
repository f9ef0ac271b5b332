/**
 * MemoryPort: a tenant's namespaced key-value memory (PRS 5.2). `tool.kv.*` stand on it.
 * Keyword and vector search are declared by the features `keyword_search` and `vector_search`.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export interface MemoryItem {
  readonly namespace: string;
  readonly key: string;
  /** Any JSON value. */
  readonly value: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly updatedAt: string;
}

export interface MemoryPort {
  capabilities(): PortCapabilities;
  /** Writes or replaces. @throws AgentOsError invalid_request (key or value out of bounds: key ≤ 256 characters, value ≤ 64 KiB as JSON). */
  put(auth: AuthContext, item: { readonly namespace: string; readonly key: string; readonly value: unknown; readonly metadata?: Readonly<Record<string, unknown>> }): Promise<MemoryItem>;
  /** null when there is none. */
  get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null>;
  /** True when something was deleted. */
  delete(auth: AuthContext, namespace: string, key: string): Promise<boolean>;
  /** Keys in order, at most `limit` after `after`. */
  list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]>;
  /** Items whose text contains every word of `query`, best first. Needs `keyword_search`. */
  search(auth: AuthContext, namespace: string, query: { readonly text: string; readonly limit: number }): Promise<readonly MemoryItem[]>;
}
