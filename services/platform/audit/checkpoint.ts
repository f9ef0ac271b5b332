/**
 * A checkpoint: "this chain had come to this sequence with this hash at this time", signed with Ed25519 and kept outside
 * the database, so that whoever owns the database cannot make an earlier truth of it (ADR 0011).
 */
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { ChainName } from './chain.ts';

export interface Checkpoint extends ChainName {
  readonly sequence: number;
  readonly hash: string;
  /** RFC 3339. */
  readonly at: string;
  /** Base64. */
  readonly signature: string;
}

const signed = ({ tenantId, service, sequence, hash, at }: Omit<Checkpoint, 'signature'>): Buffer =>
  Buffer.from(['agentos.audit.checkpoint.v1', tenantId, service, sequence, hash, at].join('\n'));

// In the thread pool: a hundred chains that moved must not hold up requests.
const signInPool = promisify(sign) as (algorithm: null, data: Buffer, key: KeyObject) => Promise<Buffer>;

export async function signCheckpoint(key: KeyObject, unsigned: Omit<Checkpoint, 'signature'>): Promise<Checkpoint> {
  return { ...unsigned, signature: (await signInPool(null, signed(unsigned), key)).toString('base64') };
}

export function isSigned(key: KeyObject, checkpoint: Checkpoint): boolean {
  return verify(null, signed(checkpoint), key.type === 'private' ? createPublicKey(key) : key, Buffer.from(checkpoint.signature, 'base64'));
}

export function checkpointLine({ tenantId, service, sequence, hash, at, signature }: Checkpoint): string {
  return `${JSON.stringify({ tenant_id: tenantId, service, sequence, hash, at, signature })}\n`;
}

export interface CheckpointsRead {
  readonly good: readonly Checkpoint[];
  /** Lines, by number, that no key of ours has signed. */
  readonly bad: readonly { readonly line: number; readonly name: ChainName | null; readonly sequence: number | null }[];
}

/** Reads a checkpoint file. A last line without its end was being written when the process was killed: it is passed over. */
export function readCheckpoints(text: string, key: KeyObject): CheckpointsRead {
  const good: Checkpoint[] = [];
  const bad: { line: number; name: ChainName | null; sequence: number | null }[] = [];
  const lines = text.split('\n');
  lines.pop();
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const checkpoint = parseLine(line);
    if (checkpoint !== null && isSigned(key, checkpoint)) good.push(checkpoint);
    else bad.push({ line: index + 1, name: checkpoint, sequence: checkpoint?.sequence ?? null });
  }
  return { good, bad };
}

function parseLine(line: string): Checkpoint | null {
  try {
    const { tenant_id, service, sequence, hash, at, signature } = JSON.parse(line) as Record<string, unknown>;
    if ([tenant_id, service, hash, at, signature].every((value) => typeof value === 'string') && Number.isSafeInteger(sequence)) {
      return { tenantId: tenant_id as string, service: service as string, sequence: sequence as number, hash: hash as string, at: at as string, signature: signature as string };
    }
  } catch {
    // No JSON: told as a line that nobody signed.
  }
  return null;
}
