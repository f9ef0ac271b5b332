/**
 * The journal of one process: what its finished calls leave behind, until the database has it (docs/adr/0010-call-journal.md).
 *
 * An append is one write(2) and no fsync: what is written outlives the process, kill -9 included, and a machine that
 * loses its power may take the last moment with it. Files are deleted, or emptied, when the database has all that is
 * in them. Journals of one ledger stand in one folder, a folder each, so that whoever comes later finds those of the dead.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, renameSync, rmdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { newId } from '../../platform/ids.ts';
import { thisProcess, type JournalOwner } from './usage-journal-owner.ts';

/** What a journal asks of the disk. */
export interface JournalDisk {
  open(file: string): number;
  /** Bytes written, which may be less than were given. */
  write(file: number, bytes: Buffer, from: number, position: number): number;
  truncate(file: number, bytes: number): void;
  close(file: number): void;
  remove(path: string): void;
}

export const DISK: JournalDisk = {
  open: (file) => openSync(file, 'wx', 0o600),
  write: (file, bytes, from, position) => writeSync(file, bytes, from, bytes.length - from, position),
  truncate: (file, bytes) => ftruncateSync(file, bytes),
  close: (file) => closeSync(file),
  remove: (where) => rmSync(where, { recursive: true, force: true }),
};

export interface JournalOptions {
  /** Of the ledger's journals. */
  readonly folder: string;
  readonly disk?: JournalDisk;
  /** Who writes; this process when absent. */
  readonly owner?: JournalOwner;
  /** Bytes after which another file is begun; 4 MiB when absent. */
  readonly fileBytes?: number;
}

/** One file, while something of it is not in the database. */
export interface JournalFile {
  readonly path: string;
  readonly file: number;
  /** Up to the end of the last whole frame. */
  bytes: number;
  /** Frames that the database does not have. */
  open: number;
}

export const OWNER_FILE = 'owner.json';
export const RECORDS_SUFFIX = '.records';
const FILE_BYTES = 4 * 1024 * 1024;

export class CallJournal {
  readonly id = newId('jnl');
  /** Its own. */
  readonly folder: string;
  readonly owner: JournalOwner;
  readonly #disk: JournalDisk;
  readonly #fileBytes: number;
  #current: JournalFile | null = null;
  #files = 0;

  /** @throws what the file system throws: no folder, no right to write, no space. */
  constructor({ folder, disk = DISK, owner = thisProcess(), fileBytes = FILE_BYTES }: JournalOptions) {
    this.folder = path.join(folder, this.id);
    this.owner = owner;
    this.#disk = disk;
    this.#fileBytes = fileBytes;
    // A folder without its owner's name would be anybody's, so it takes its own name when that is written.
    const unnamed = path.join(folder, `.${this.id}`);
    mkdirSync(unnamed, { recursive: true, mode: 0o700 });
    writeFileSync(path.join(unnamed, OWNER_FILE), JSON.stringify(owner), { mode: 0o600 });
    renameSync(unnamed, this.folder);
    this.#current = this.#begin();
  }

  /** Nothing of the frame is in the journal when it throws. */
  append(frame: Buffer): JournalFile {
    if (this.#current !== null && this.#current.bytes >= this.#fileBytes) this.#retire();
    const current = (this.#current ??= this.#begin());
    try {
      for (let written = 0; written < frame.length;) written += this.#disk.write(current.file, frame, written, current.bytes + written);
    } catch (error) {
      this.#cutBack(current);
      throw error;
    }
    current.bytes += frame.length;
    current.open += 1;
    return current;
  }

  /** The database has a frame of this file. */
  stored(file: JournalFile): void {
    file.open -= 1;
    if (file.open > 0) return;
    if (file !== this.#current) return this.#drop(file);
    try {
      this.#disk.truncate(file.file, 0);
      file.bytes = 0;
    } catch {
      // What stays is found in the database by whoever reads it.
      this.#retire();
    }
  }

  /** @param remove whether the database has everything */
  close(remove: boolean): void {
    this.#retire();
    if (!remove) return;
    this.#disk.remove(this.folder);
    try {
      rmdirSync(path.dirname(this.folder));
    } catch {
      // Other processes have theirs in it.
    }
  }

  #begin(): JournalFile {
    const file = path.join(this.folder, `${String((this.#files += 1)).padStart(8, '0')}${RECORDS_SUFFIX}`);
    return { path: file, file: this.#disk.open(file), bytes: 0, open: 0 };
  }

  /** Half a frame would hide all that is written behind it. */
  #cutBack(current: JournalFile): void {
    try {
      this.#disk.truncate(current.file, current.bytes);
    } catch {
      this.#retire();
    }
  }

  #retire(): void {
    const current = this.#current;
    this.#current = null;
    if (current === null) return;
    if (current.open === 0) this.#drop(current);
  }

  #drop(file: JournalFile): void {
    this.#disk.close(file.file);
    this.#disk.remove(file.path);
  }
}
