/** Stored records ↔ what is answered, and the cursor of a listing. */
import { AgentOsError } from '../errors.ts';
import type { AuditFilter, AuditPosition, AuditRecord } from './audit.ts';
import type { AuditEntry } from './audit-row.ts';
import type { ChainedRecord, ChainName } from './chain.ts';

/** Members that are left out where there is nothing, as they are answered. */
const NOTHING = { principal: null, roles: [], policy_context: null, resource: null, correlation_id: null, operation: null, source: null, decision: null, route: null, peer: null, details: {} };

export function recordOf({ tenantId, service }: ChainName, { sequence, recordedAt, previousHash, hash, text }: ChainedRecord): AuditRecord {
  const entry = JSON.parse(text) as AuditEntry;
  return { tenant_id: tenantId, service, sequence, recorded_at: recordedAt, ...NOTHING, ...entry, previous_hash: previousHash, hash };
}

/**
 * A record as one line. What was hashed ends the line to the byte, so that a reader in any language verifies it without
 * knowing how we write JSON: `{` and everything from the first `"audit_id":` on. Before it stand its place, its hashes,
 * and the members that it has not.
 */
export function exportLine({ tenantId, service }: ChainName, { sequence, recordedAt, previousHash, hash, text }: ChainedRecord): string {
  const entry = JSON.parse(text) as Record<string, unknown>;
  const absent = Object.fromEntries(Object.entries(NOTHING).filter(([member]) => !(member in entry)));
  const envelope = JSON.stringify({ tenant_id: tenantId, service, sequence, recorded_at: recordedAt, previous_hash: previousHash, hash, ...absent });
  return `${envelope.slice(0, -1)},${text.slice(1)}`;
}

/** The reverse of `exportLine`; null: it is no such line. */
export function parseExportLine(line: string): { readonly name: ChainName; readonly record: ChainedRecord } | null {
  const start = line.indexOf('"audit_id":');
  let parsed: Partial<AuditRecord>;
  try {
    parsed = JSON.parse(line) as Partial<AuditRecord>;
  } catch {
    return null;
  }
  const { tenant_id, service, sequence, recorded_at, previous_hash, hash } = parsed;
  if (start < 0 || typeof tenant_id !== 'string' || typeof service !== 'string' || !Number.isSafeInteger(sequence) || typeof recorded_at !== 'string') return null;
  if (!/^[0-9a-f]{64}$/.test(previous_hash ?? '') || !/^[0-9a-f]{64}$/.test(hash ?? '')) return null;
  const record = { sequence: sequence!, recordedAt: recorded_at, previousHash: previous_hash!, hash: hash!, text: `{${line.slice(start).trimEnd()}` };
  return { name: { tenantId: tenant_id, service }, record };
}

export function matches(record: AuditRecord, filter: AuditFilter): boolean {
  return (
    (filter.service === undefined || record.service === filter.service) &&
    (filter.action === undefined || record.action === filter.action) &&
    (filter.outcome === undefined || record.outcome === filter.outcome) &&
    (filter.principalId === undefined || record.principal?.principal_id === filter.principalId) &&
    (filter.resourceType === undefined || record.resource?.type === filter.resourceType) &&
    (filter.resourceId === undefined || record.resource?.id === filter.resourceId) &&
    (filter.correlationId === undefined || record.correlation_id === filter.correlationId) &&
    (filter.from === undefined || Date.parse(record.recorded_at) >= Date.parse(filter.from)) &&
    (filter.to === undefined || Date.parse(record.recorded_at) < Date.parse(filter.to))
  );
}

/** Newest first; within a moment by chain, and by place in it. */
export function newestFirst(a: AuditRecord, b: AuditRecord): number {
  if (a.recorded_at !== b.recorded_at) return a.recorded_at < b.recorded_at ? 1 : -1;
  if (a.service !== b.service) return a.service < b.service ? 1 : -1;
  return b.sequence - a.sequence;
}

export const formatPosition = (position: AuditPosition): string => Buffer.from(JSON.stringify(position)).toString('base64url');

/** @throws AgentOsError invalid_request. */
export function parsePosition(cursor: string): AuditPosition {
  try {
    const position = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown;
    if (typeof position === 'object' && position !== null && !Array.isArray(position) && Object.values(position).every((sequence) => Number.isSafeInteger(sequence) && sequence >= 0)) {
      return position as AuditPosition;
    }
  } catch {
    // Told below, whatever is wrong with it.
  }
  throw new AgentOsError('invalid_request', {
    message: 'The cursor in after is none of this listing: send the value of next as it was answered.',
    details: { errors: [{ path: '/query/after', message: 'must be the next of an earlier page' }] },
  });
}
