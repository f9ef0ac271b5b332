/**
 * The audit log is a set of hash chains, one for each tenant and service.
 *
 * A record's hash covers the hash before it, its chain, its place, its moment and its text:
 *
 *     hash(n) = SHA-256(hash(n−1) ‖ utf8(tenant_id "\n" service "\n" n "\n" recorded_at "\n" text)),  hash(0) = 32 zero bytes
 *
 * so that no record can be changed, moved, left out or put into another chain without every later hash changing with
 * it. Whoever may rewrite the whole chain, head and all, is stopped by what stands elsewhere: hashes signed from time
 * to time and kept outside the database (checkpoints.ts). A chain that was cut off at its end is one that no longer
 * holds what a checkpoint attests.
 *
 * A chain belongs to one service, and not to the tenant alone, because its head is locked until its transaction is
 * committed: services would wait for each other's commits (ADR 0011).
 *
 * The database computes the hashes where it appends (audit-migrations.ts); this file is the same function for those who
 * check.
 */
import { createHash } from 'node:crypto';

/** A record as it is chained. Hashes are hex; the text is JSON, to the byte as it was hashed. */
export interface ChainedRecord {
  readonly sequence: number;
  /** RFC 3339, UTC, microseconds: `2026-01-01T00:00:00.000000Z`. */
  readonly recordedAt: string;
  readonly previousHash: string;
  readonly hash: string;
  readonly text: string;
}

export interface ChainName {
  readonly tenantId: string;
  readonly service: string;
}

/** What the first record of a chain follows. */
export const GENESIS_HASH = '0'.repeat(64);

export function linkHash({ tenantId, service }: ChainName, previousHash: string, sequence: number, recordedAt: string, text: string): string {
  return createHash('sha256').update(previousHash, 'hex').update(`${tenantId}\n${service}\n${sequence}\n${recordedAt}\n${text}`).digest('hex');
}

/** The texts of one append, chained behind `previousHash`. */
export function chainTexts(name: ChainName, previousHash: string, lastSequence: number, recordedAt: string, texts: readonly string[]): ChainedRecord[] {
  let link = previousHash;
  return texts.map((text, index) => {
    const sequence = lastSequence + index + 1;
    const hash = linkHash(name, link, sequence, recordedAt, text);
    const record = { sequence, recordedAt, previousHash: link, hash, text };
    link = hash;
    return record;
  });
}
