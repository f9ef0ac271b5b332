/**
 * A checkpoint: "this chain had come to this sequence with this hash at this time", signed with Ed25519 and kept outside
 * the database, so that whoever owns the database cannot make an earlier truth of it (ADR 0011). It names its key, since
 * keys are replaced and what the earlier ones signed stays good.
 */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { ChainName } from './chain.ts';

export interface Checkpoint extends ChainName {
  readonly sequence: number;
  readonly hash: string;
  /** RFC 3339. */
  readonly at: string;
  /** Of the key that signed it; absent in those of earlier releases. */
  readonly keyId?: string;
  /** Base64. */
  readonly signature: string;
}

/** The first sixteen hexadecimal digits of the SHA-256 of the public half. */
export function checkpointKeyId(key: KeyObject): string {
  return createHash('sha256').update(publicHalf(key).export({ type: 'spki', format: 'der' })).digest('hex').slice(0, 16);
}

const publicHalf = (key: KeyObject): KeyObject => (key.type === 'private' ? createPublicKey(key) : key);

type Unsigned = Omit<Checkpoint, 'signature' | 'keyId'>;

const signed = ({ tenantId, service, sequence, hash, at }: Unsigned): Buffer =>
  Buffer.from(['agentos.audit.checkpoint.v1', tenantId, service, sequence, hash, at].join('\n'));

// In the thread pool: a hundred chains that moved must not hold up requests.
const signInPool = promisify(sign) as (algorithm: null, data: Buffer, key: KeyObject) => Promise<Buffer>;

export async function signCheckpoint(key: KeyObject, unsigned: Unsigned, keyId = checkpointKeyId(key)): Promise<Checkpoint> {
  return { ...unsigned, keyId, signature: (await signInPool(null, signed(unsigned), key)).toString('base64') };
}

export function checkpointLine({ tenantId, service, sequence, hash, at, keyId, signature }: Checkpoint): string {
  return `${JSON.stringify({ tenant_id: tenantId, service, sequence, hash, at, kid: keyId, signature })}\n`;
}

export interface CheckpointsRead {
  readonly good: readonly Checkpoint[];
  /** Lines, by number, that no key of ours has signed. */
  readonly bad: readonly UnsignedLine[];
}

export interface UnsignedLine {
  readonly file: string;
  readonly line: number;
  readonly name: ChainName | null;
  readonly sequence: number | null;
  /** The key that it names and that is none of ours; null where it names none, or one of ours that did not sign this. */
  readonly unknownKeyId: string | null;
}

/**
 * Reads one part of the checkpoints. A last line without its end was being written when the process was killed: it is passed over.
 * @param keys all that ever signed for this node, public halves or private ones.
 */
export function readCheckpoints(text: string, keys: readonly KeyObject[], file = 'the checkpoints'): CheckpointsRead {
  const known = new Map(keys.map((key) => [checkpointKeyId(key), publicHalf(key)]));
  const isGood = ({ keyId, signature, ...unsigned }: Checkpoint): boolean => {
    const candidates = keyId === undefined ? [...known.values()] : [known.get(keyId)].filter((key) => key !== undefined);
    return candidates.some((key) => verify(null, signed(unsigned), key, Buffer.from(signature, 'base64')));
  };
  const good: Checkpoint[] = [];
  const bad: UnsignedLine[] = [];
  const lines = text.split('\n');
  lines.pop();
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const checkpoint = parseLine(line);
    if (checkpoint !== null && isGood(checkpoint)) good.push(checkpoint);
    else bad.push({ file, line: index + 1, name: checkpoint, sequence: checkpoint?.sequence ?? null, unknownKeyId: checkpoint?.keyId === undefined || known.has(checkpoint.keyId) ? null : checkpoint.keyId });
  }
  return { good, bad };
}

function parseLine(line: string): Checkpoint | null {
  try {
    const { tenant_id, service, sequence, hash, at, kid, signature } = JSON.parse(line) as Record<string, unknown>;
    if ([tenant_id, service, hash, at, signature].every((value) => typeof value === 'string') && Number.isSafeInteger(sequence)) {
      return { tenantId: tenant_id as string, service: service as string, sequence: sequence as number, hash: hash as string, at: at as string, ...(typeof kid === 'string' ? { keyId: kid } : {}), signature: signature as string };
    }
  } catch {
    // No JSON: told as a line that nobody signed.
  }
  return null;
}
