/**
 * Signs how far the chains have come and appends it to a file: every ten seconds those that moved, sooner one that moved
 * far, and all of them at the end. It attests what this process was told by its own commits and never what the database
 * says later, so that nothing written over in between is signed.
 */
import type { KeyObject } from 'node:crypto';
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import type { AuditRow } from './audit-row.ts';
import type { AppendedRow } from './audit-sql.ts';
import type { AuditFollower } from './audit-trail.ts';
import { checkpointKeyId, checkpointLine, signCheckpoint } from './checkpoint.ts';
import { setAsideBeyond } from './file-parts.ts';

export interface CheckpointWriterOptions {
  readonly key: KeyObject;
  /** Appended to; lines of `checkpointLine`. Several processes may share it. */
  readonly path: string;
  readonly log: Logger;
  readonly intervalMs?: number;
  /** Beyond it the file is set aside and a new one begins. */
  readonly fileBytes?: number;
  /** Records after which a chain does not wait for its turn. */
  readonly records?: number;
}

interface Progress {
  readonly tenantId: string;
  readonly service: string;
  sequence: number;
  hash: string;
  signed: number;
}

const INTERVAL_MS = 10_000;
const RECORDS = 1_000;
const FILE_BYTES = 64 * 1024 * 1024;
/** Chains that have not moved since they were signed are forgotten beyond this many. */
const REMEMBERED = 10_000;

export class CheckpointWriter implements AuditFollower {
  readonly readsRows = false;
  readonly #options: CheckpointWriterOptions;
  readonly #chains = new Map<string, Progress>();
  readonly #timer: NodeJS.Timeout;
  readonly #records: number;
  readonly #keyId: string;
  #writing: Promise<void> = Promise.resolve();
  #queued = false;

  constructor(options: CheckpointWriterOptions) {
    this.#options = options;
    this.#records = options.records ?? RECORDS;
    this.#keyId = checkpointKeyId(options.key);
    this.#timer = setInterval(() => void this.write(), options.intervalMs ?? INTERVAL_MS).unref();
  }

  committed(_rows: readonly AuditRow[], chains: readonly AppendedRow[]): void {
    for (const { tenant_id, service, sequence, hash } of chains) {
      const key = `${tenant_id}\n${service}`;
      const known = this.#chains.get(key);
      if (known === undefined) this.#chains.set(key, { tenantId: tenant_id, service, sequence, hash, signed: 0 });
      else if (sequence > known.sequence) Object.assign(known, { sequence, hash });
      if (sequence - (known?.signed ?? 0) >= this.#records && !this.#queued) void this.write();
    }
  }

  /** Signs and writes what moved; never rejects. What could not be written is tried again. */
  write(): Promise<void> {
    if (this.#queued) return this.#writing;
    this.#queued = true;
    this.#writing = this.#writing.then(async () => {
      this.#queued = false;
      try {
        await this.#append();
      } catch (error) {
        this.#options.log.error({ err: error, path: this.#options.path }, 'Audit checkpoints cannot be written: until they are, a database that is rewritten would not be noticed.');
      }
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.write();
  }

  async #append(): Promise<void> {
    const moved = [...this.#chains.values()].filter(({ sequence, signed }) => sequence > signed);
    if (moved.length === 0) return;
    const at = new Date().toISOString();
    const taken = moved.map(({ tenantId, service, sequence, hash }) => ({ tenantId, service, sequence, hash, at }));
    const lines = await Promise.all(taken.map(async (unsigned) => checkpointLine(await signCheckpoint(this.#options.key, unsigned, this.#keyId))));
    await mkdir(dirname(this.#options.path), { recursive: true, mode: 0o700 });
    setAsideBeyond(this.#options.path, this.#options.fileBytes ?? FILE_BYTES);
    await appendFile(this.#options.path, lines.join(''), { mode: 0o600, flush: true });
    for (const [index, progress] of moved.entries()) progress.signed = taken[index]!.sequence;
    if (this.#chains.size > REMEMBERED) for (const [key, { sequence, signed }] of this.#chains) if (sequence === signed) this.#chains.delete(key);
  }
}
