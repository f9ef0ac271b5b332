/** Items of memory → objects of the contract. */
import type { MemoryItem as MemoryItemWire } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { RequestContext } from '../../platform/http/operation-types.ts';
import type { EmbedCall } from '../memory/memory.ts';
import type { MemoryItem } from '../ports/memory.ts';

export function memoryItemToWire(item: MemoryItem): MemoryItemWire {
  return {
    namespace: item.namespace,
    key: item.key,
    value: item.value,
    metadata: { ...item.metadata },
    bytes: item.bytes,
    created_at: item.createdAt,
    updated_at: item.updatedAt,
    expires_at: item.expiresAt,
    embedded: item.embedded,
  };
}

/** A vector that this request needs belongs to its trace, and is given up with it. */
export const embedCallOf = ({ signal, traceparent, correlationId }: RequestContext): EmbedCall => ({ signal, traceparent, correlationId });

export const noSuchItem = (namespace: string, key: string): AgentOsError =>
  new AgentOsError('not_found', { message: `There is no item ${key} in ${namespace}, or it has expired.`, details: { namespace, key } });
