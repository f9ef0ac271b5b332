/**
 * A copy of the log for collectors: each committed record as one line of JSON (as `GET /v1/audit:export` gives it), to
 * stdout, stderr or a file. It is a copy and not the log: a process that is killed between a commit and its line leaves
 * the line out, and a reader that is too slow costs lines, which are counted, and never memory.
 */
import type { Logger } from 'pino';
import { ConfigError } from '../config/load.ts';
import { storableJson } from '../db/storable.ts';
import { exportLine } from './audit-record.ts';
import type { AuditRow } from './audit-row.ts';
import type { AppendedRow } from './audit-sql.ts';
import type { AuditFollower } from './audit-trail.ts';
import { chainTexts } from './chain.ts';
import { MirrorFile, type MirrorLimits } from './mirror-file.ts';

export type MirrorTarget = { readonly kind: 'stdout' | 'stderr' } | { readonly kind: 'file'; readonly path: string };

/** `AGENTOS_AUDIT_SINK`: `postgres`, `stdout`, `stderr`, `file:<path>`, several separated by commas. @throws ConfigError. */
export function parseAuditSink(text: string | undefined): readonly MirrorTarget[] {
  return (text ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '' && part !== 'postgres').map((part) => {
    if (part === 'stdout' || part === 'stderr') return { kind: part };
    const path = /^file:(.+)$/.exec(part)?.[1];
    if (path !== undefined) return { kind: 'file', path };
    throw new ConfigError('AGENTOS_AUDIT_SINK', `AGENTOS_AUDIT_SINK names '${part}'; it takes postgres, stdout, stderr and file:<path>, several separated by commas.`);
  });
}

const MOST_WAITING_BYTES = 8 * 1024 * 1024;

const LIMITS: MirrorLimits = { bytes: 64 * 1024 * 1024, parts: 10 };

export class AuditMirror implements AuditFollower {
  readonly #file: MirrorFile | null;
  readonly #stream: NodeJS.WriteStream | null;
  readonly #onDropped: (lines: number) => void;
  readonly #log: Logger;
  #complained = false;

  /** @param limits of a file. */
  constructor(target: MirrorTarget, log: Logger, onDropped: (lines: number) => void = () => undefined, limits = LIMITS) {
    this.#log = log;
    this.#onDropped = onDropped;
    this.#file = target.kind === 'file' ? new MirrorFile(target.path, limits, (error) => this.#complain({ err: error }, 'The mirror of the audit log cannot be written.')) : null;
    this.#stream = target.kind === 'file' ? null : process[target.kind];
  }

  committed(rows: readonly AuditRow[], chains: readonly AppendedRow[]): void {
    const waiting = this.#file?.waitingBytes ?? this.#stream!.writableLength;
    if (waiting > MOST_WAITING_BYTES || (this.#file?.broken ?? this.#stream!.destroyed)) {
      this.#onDropped(rows.length);
      this.#complain({}, 'The mirror of the audit log does not keep up: lines are left out. The log itself is whole.');
      return;
    }
    const lines = mirrorLines(rows, chains);
    if (this.#file === null) this.#stream!.write(lines);
    else this.#file.write(lines);
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  #complain(what: object, message: string): void {
    if (!this.#complained) this.#log.error(what, message);
    this.#complained = true;
  }
}

/** The database computed these hashes; computing them once more is cheaper than asking for them. */
function mirrorLines(rows: readonly AuditRow[], chains: readonly AppendedRow[]): string {
  return chains.map(({ tenant_id, service, sequence, recorded_at, previous_hash }) => {
    const name = { tenantId: tenant_id, service };
    const texts = rows.filter((row) => row.tenant_id === tenant_id && row.service === service).map(({ entry }) => storableJson(entry));
    return chainTexts(name, previous_hash, sequence - texts.length, recorded_at, texts).map((record) => `${exportLine(name, record)}\n`).join('');
  }).join('');
}
