/** Where the kv tools keep things: a prefix keeps what agents write apart from memory that the platform itself keeps. */
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import type { MemoryPort } from '../../ports/memory.ts';
import type { ToolReach } from '../../ports/tool.ts';

/** What the kv tools need: the port itself, or what counts the tenant's bytes in front of it. */
export interface KvMemory extends Pick<MemoryPort, 'get' | 'delete'> {
  put(auth: AuthContext, item: { readonly namespace: string; readonly key: string; readonly value: unknown }): Promise<unknown>;
}

export const KV_KEY_SCHEMA = { type: 'string', minLength: 1, maxLength: 256, description: 'The key.' };
export const KV_NAMESPACE_SCHEMA = { type: 'string', minLength: 1, maxLength: 128, description: 'A group of keys; `default` when absent.' };

/** What a call reaches, for the permissions of the agent. */
export function reachOf(kind: 'memory_read' | 'memory_write', input: unknown): readonly ToolReach[] {
  const namespace = (input as { namespace?: unknown } | null)?.namespace;
  return [{ kind, name: namespaceOf(typeof namespace === 'string' ? namespace : undefined) }];
}

export const namespaceOf = (namespace: string | undefined): string => `kv:${namespace ?? 'default'}`;
