/**
 * Bookings into the journal of this process, and from there into the database (docs/adr/0010-call-journal.md).
 *
 * A caller is answered when the journal has its call; one shipper takes what stands there to the database, many calls in
 * one durable transaction. What cannot be written to the journal (no space, too much of it unshipped, a process that may
 * be taken for dead) waits for that transaction instead, so nothing is answered that is kept nowhere.
 */
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { Gathering, MOST_UNBOOKED, PATIENCE_MS, type Booked, type BookOptions, type CallWriter, type CallWriterOptions, type WriterLife } from './usage-call-writer.ts';
import { encodeFrame } from './usage-journal-frames.ts';
import { takeOverJournals } from './usage-journal-takeover.ts';
import { CallJournal, type JournalDisk, type JournalFile } from './usage-journal.ts';
import { thisProcess, type JournalOwner } from './usage-journal-owner.ts';
import { bookingToText, storeBookings, type Booking } from './usage-postgres-bookings.ts';

export interface JournalWriterOptions extends CallWriterOptions {
  /** Of the ledger's journals. */
  readonly folder: string;
  readonly log?: Logger | undefined;
  /** Longest time that the database is behind; 50 when absent. */
  readonly shipAfterMs?: number;
  /** Bytes that may stand in the journal and not in the database; 64 MiB when absent. */
  readonly maxBytes?: number;
  /** After this a process without a sign of life counts as gone; 10,000 when absent. */
  readonly aliveMs?: number;
  readonly disk?: JournalDisk;
  readonly owner?: JournalOwner;
  /** Tells the database from its copies, which have the same ledger; see `JournalOwner`. */
  readonly databaseId?: string;
}

/** What came in one tick, until the database has it. */
interface Shipment {
  readonly bookings: readonly Booking[];
  /** Those whose callers wait for the database. */
  readonly patient: readonly Booked[];
  readonly onStored: readonly (() => void)[];
  /** null: it stands in memory only. */
  readonly file: JournalFile | null;
  readonly bytes: number;
  readonly at: number;
}

const ROOM_BYTES = 256 * 1024;
const SHIP_AFTER_MS = 50;
const MAX_BYTES = 64 * 1024 * 1024;
/** Less than a process trusts its own life (usage-postgres-replica.ts). */
const MAX_AGE_MS = 5_000;
/** Bookings in one transaction, as far as whole ticks allow. */
const BATCH = 768;
const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 500;
const TAKE_OVER_EVERY_MS = 1_000;
const ALIVE_MS = 10_000;

export class JournalWriter implements CallWriter {
  readonly journalId: string;
  readonly #options: JournalWriterOptions;
  readonly #journal: CallJournal;
  readonly #gathering: Gathering;
  /** A frame is in the file, or nowhere, before the next one is made. */
  readonly #room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  #waiting: Shipment[] = [];
  #bytes = 0;
  /** Bookings that stand in memory only. */
  #unwritten = 0;
  #hurried = 0;
  #timer: NodeJS.Timeout | null = null;
  #shipping: Promise<void> | null = null;
  /** When the oldest of what waits for the database came; `performance.now()`. */
  #behindSince = Number.POSITIVE_INFINITY;
  #flushed: { readonly upTo: Shipment; readonly resolve: () => void }[] = [];
  #lastError: unknown = null;
  #diskFails = false;
  #lookedAt = 0;
  #foreign = 0;
  #life: WriterLife = { isTrusted: () => true, askOthers: () => Promise.resolve() };
  #closed = false;
  /** Nothing is tried again. */
  #ends = false;

  /** @throws what the file system throws when the folder cannot be written. */
  constructor(options: JournalWriterOptions) {
    this.#options = options;
    const { folder, disk, databaseId } = options;
    const owner = { ...(options.owner ?? thisProcess()), ...(databaseId === undefined ? {} : { databaseId }) };
    this.#journal = new CallJournal({ folder, owner, ...(disk === undefined ? {} : { disk }) });
    this.journalId = this.#journal.id;
    this.#gathering = new Gathering((booked) => this.#take(booked));
  }

  get isStalled(): boolean {
    return performance.now() - this.#behindSince > MAX_AGE_MS || this.#isFull;
  }

  get isBehind(): boolean {
    return this.#waiting.length > 0;
  }

  book(bookings: readonly Booking[], options: BookOptions = {}): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('The writer is closed: the service is stopping.'));
    return this.#gathering.add(bookings, options);
  }

  async flush(): Promise<void> {
    await this.#gathering.settled();
    const upTo = this.#waiting.at(-1);
    if (upTo === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#flushed.push({ upTo, resolve });
        timer = setTimeout(() => reject(this.#away()), PATIENCE_MS);
        this.#ship();
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async flushAll(): Promise<void> {
    await Promise.all([this.flush(), this.#life.askOthers()]);
  }

  attach(life: WriterLife): void {
    this.#life = life;
  }

  /** What was shipped is on the server's disk. */
  suspect(): void {}

  async upkeep(): Promise<void> {
    if (performance.now() - this.#lookedAt < TAKE_OVER_EVERY_MS) return;
    this.#lookedAt = performance.now();
    await this.takeOver();
  }

  /** Ships what processes that are gone have left in the folder. */
  async takeOver(): Promise<void> {
    const { pool, folder, log, onAudited, aliveMs = ALIVE_MS } = this.#options;
    const { foreign } = await takeOverJournals({ folder, own: this.#journal, aliveMs, pool, log, onAudited });
    if (foreign > this.#foreign) log?.info({ folder, journals: foreign }, 'Journals of another database with the same ledger, as a copy of this one has it, are left to its own processes.');
    this.#foreign = foreign;
  }

  async close(): Promise<void> {
    await this.#gathering.settled();
    this.#closed = true;
    await this.flush().catch((error: unknown) => this.#options.log?.error({ err: error, journal: this.#journal.folder, waiting: this.#waiting.length }, 'The journal could not be shipped before the end; the next process ships it.'));
    this.#ends = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#shipping;
    this.#journal.close(this.#waiting.length === 0);
  }

  get #isFull(): boolean {
    return this.#bytes > (this.#options.maxBytes ?? MAX_BYTES);
  }

  #take(booked: readonly Booked[]): void {
    const bookings = booked.flatMap((each) => each.bookings);
    const frame = encodeFrame(bookings.map(bookingToText), this.#room);
    const file = this.#append(frame);
    if (file === null && this.#unwritten >= MOST_UNBOOKED) {
      this.#options.log?.error({ bookings: bookings.length, kept: this.#unwritten }, 'The database has been away for too long: usage is lost.');
      for (const { reject } of booked) reject(this.#away());
      return;
    }
    const patient: Booked[] = [];
    const onStored: (() => void)[] = [];
    for (const each of booked) {
      if (each.options.onStored !== undefined) onStored.push(each.options.onStored);
      if (file === null || each.options.stored === true) patient.push(each);
      else each.resolve();
    }
    // What waits for the database is little else than texts: it outlives many calls, and garbage collection walks what lives.
    const shipment = { bookings, patient, onStored, file, bytes: frame.length, at: performance.now() };
    this.#waiting.push(shipment);
    this.#bytes += frame.length;
    if (file === null) this.#unwritten += bookings.length;
    if (this.#waiting.length === 1) this.#behindSince = shipment.at;
    if (patient.length > 0) {
      this.#hurried += 1;
      this.#endPatience(patient);
    }
    if (patient.length > 0 || this.#waiting.length >= BATCH) this.#ship();
    else this.#timer ??= setTimeout(() => this.#ship(), this.#options.shipAfterMs ?? SHIP_AFTER_MS);
  }

  #append(frame: Buffer): JournalFile | null {
    if (this.isStalled || !this.#life.isTrusted()) return null;
    try {
      const file = this.#journal.append(frame);
      if (this.#diskFails) this.#options.log?.info({ journal: this.#journal.folder }, 'The journal can be written again.');
      this.#diskFails = false;
      return file;
    } catch (error) {
      if (!this.#diskFails) this.#options.log?.error({ err: error, journal: this.#journal.folder }, 'The journal cannot be written: calls wait for the database instead.');
      this.#diskFails = true;
      return null;
    }
  }

  /** They are told in time that the database is away; what was stored by then has been told already. */
  #endPatience(booked: readonly Booked[]): void {
    setTimeout(() => {
      for (const { reject } of booked) reject(this.#away());
    }, PATIENCE_MS).unref();
  }

  #ship(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#shipping ??= this.#shipAll().finally(() => {
      this.#shipping = null;
      if (this.#waiting.length > 0 && !this.#closed) this.#timer ??= setTimeout(() => this.#ship(), this.#options.shipAfterMs ?? SHIP_AFTER_MS);
    });
  }

  /** Until all that was there has been shipped; what comes meanwhile and is in no hurry gathers for the next time. */
  async #shipAll(): Promise<void> {
    const last = this.#waiting.at(-1);
    let pauseMs = FIRST_PAUSE_MS;
    for (let again = false, done = false; this.#waiting.length > 0 && (!done || this.#isHurried);) {
      const batch = this.#nextBatch();
      const startedAt = performance.now();
      try {
        await storeBookings({ ...this.#options, again, durable: true }, batch.flatMap(({ bookings }) => bookings), this.#options.log);
        this.#report(batch, startedAt, false);
        this.#stored(batch);
        again = false;
        done ||= batch.includes(last!);
        pauseMs = FIRST_PAUSE_MS;
      } catch (error) {
        this.#report(batch, startedAt, true);
        this.#lastError = error;
        // What became of it may be unknown.
        again = true;
        if (this.#ends) return;
        await sleep(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
      }
    }
  }

  get #isHurried(): boolean {
    return this.#hurried > 0 || this.#flushed.length > 0;
  }

  #nextBatch(): readonly Shipment[] {
    let count = 0;
    const end = this.#waiting.findIndex(({ bookings }) => (count += bookings.length) >= BATCH);
    return end === -1 ? [...this.#waiting] : this.#waiting.slice(0, end + 1);
  }

  #stored(batch: readonly Shipment[]): void {
    this.#waiting = this.#waiting.slice(batch.length);
    this.#behindSince = this.#waiting[0]?.at ?? Number.POSITIVE_INFINITY;
    for (const { bookings, patient, onStored, file, bytes } of batch) {
      this.#bytes -= bytes;
      if (patient.length > 0) this.#hurried -= 1;
      if (file === null) this.#unwritten -= bookings.length;
      else this.#journal.stored(file);
      for (const stored of onStored) stored();
      for (const { resolve } of patient) resolve();
    }
    const done = new Set(batch);
    this.#flushed = this.#flushed.filter(({ upTo, resolve }) => {
      if (done.has(upTo)) resolve();
      return !done.has(upTo);
    });
  }

  #report(batch: readonly Shipment[], startedAt: number, failed: boolean): void {
    this.#options.onFlush?.({ size: batch.length, durationMs: performance.now() - startedAt, failed, waiting: this.#waiting.length - (failed ? 0 : batch.length) });
  }

  #away(): unknown {
    const cause = this.#lastError;
    const known = cause === null ? null : fromDatabaseError(cause);
    if (known instanceof AgentOsError && known.code === 'dependency_unavailable') return known;
    return new AgentOsError('dependency_unavailable', { message: 'What the call has used could not be written down. Try again.', details: { service: 'postgres' }, retryAfterSeconds: 1, cause });
  }
}
