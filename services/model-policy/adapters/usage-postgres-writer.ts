/**
 * Bookings straight into the database, for processes without a journal: one group commit before the answer, again when
 * it is away, and again when it may have forgotten.
 *
 * A booking whose caller was answered stands in the server's memory and is written out within the second. Until then
 * this process remembers it: should the server break down, whatever did not reach its disk is sent again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { GroupCommit } from '../../platform/db/group-commit.ts';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import { Gathering, MOST_UNBOOKED, PATIENCE_MS, type Booked, type BookOptions, type CallWriter, type CallWriterOptions, type WriterLife } from './usage-call-writer.ts';
import { flushBookings, isAway, type Booking } from './usage-postgres-bookings.ts';

export interface DatabaseWriterOptions extends CallWriterOptions {
  readonly log?: Logger | undefined;
}

interface Flushed {
  readonly at: number;
  readonly bookings: readonly Booking[];
}

/** PostgreSQL writes out what was committed asynchronously within three times wal_writer_delay, 0.6 s unless somebody raised it. */
const REMEMBER_MS = 3_000;

export class DatabaseWriter implements CallWriter {
  readonly journalId = null;
  readonly isStalled = false;
  readonly isBehind = false;
  readonly #options: DatabaseWriterOptions;
  readonly #gathering: Gathering;
  readonly #commits: GroupCommit<readonly Booking[], void>;
  readonly #onPoolError = (): void => this.suspect();
  #recent: Flushed[] = [];
  /** Not booked yet, though their callers have gone. */
  #unbooked: Flushed[] = [];
  #suspected = false;
  #recovering: Promise<void> | null = null;
  #askOthers: WriterLife['askOthers'] = () => Promise.resolve();
  #closed = false;

  constructor(options: DatabaseWriterOptions) {
    this.#options = options;
    this.#gathering = new Gathering((booked) => this.#submit(booked));
    this.#commits = new GroupCommit({ flush: (all) => this.#flush(all.flat()).then(() => all.map(() => undefined)), maxBatch: 128, maxWaiting: 20_000, ...(options.onFlush === undefined ? {} : { onFlush: options.onFlush }) });
    options.pool.on('error', this.#onPoolError);
  }

  book(bookings: readonly Booking[], options: BookOptions = {}): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('The writer is closed: the service is stopping.'));
    return this.#gathering.add(bookings, options);
  }

  /** Nobody was answered before the database had it. */
  async flush(): Promise<void> {}

  /** Others may write a journal. */
  flushAll(): Promise<void> {
    return this.#askOthers();
  }

  attach({ askOthers }: WriterLife): void {
    this.#askOthers = askOthers;
  }

  suspect(): void {
    this.#suspected = true;
  }

  upkeep(): Promise<void> {
    this.#recovering ??= this.#recover().finally(() => {
      this.#recovering = null;
    });
    return this.#recovering;
  }

  async #recover(): Promise<void> {
    const now = performance.now();
    if (!this.#suspected && this.#unbooked.length === 0) {
      this.#recent = this.#recent.filter((flushed) => now - flushed.at < REMEMBER_MS);
      return;
    }
    this.#suspected = false;
    const again = [...this.#recent, ...this.#unbooked];
    this.#recent = [];
    this.#unbooked = [];
    for (const [index, { bookings }] of again.entries()) {
      try {
        await flushBookings({ ...this.#options, again: true, durable: false }, bookings);
        this.#recent.push({ at: performance.now(), bookings });
      } catch (error) {
        this.#unbooked = [...again.slice(index), ...this.#unbooked];
        if (isAway(error)) this.suspect();
        throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#gathering.settled();
    await this.#commits.close();
    await this.upkeep().catch((error: unknown) => this.#options.log?.error({ err: error, calls: this.#unbooked.length }, 'Usage could not be booked before the end.'));
    this.#options.pool.off('error', this.#onPoolError);
  }

  #submit(booked: readonly Booked[]): void {
    // Whether it stands or is only kept for later, nobody has to take it out of a lease any more.
    const done = (): void => {
      for (const { options } of booked) options.onStored?.();
    };
    this.#commits.submit(booked.flatMap((each) => each.bookings)).then(
      () => {
        done();
        for (const { resolve } of booked) resolve();
      },
      (error: unknown) => {
        done();
        for (const { reject } of booked) reject(error);
      },
    );
  }

  async #flush(bookings: readonly Booking[]): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let again = false, pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        // Nothing new is answered while something old may be lost.
        if (this.#suspected || this.#recovering !== null) await this.upkeep();
        await flushBookings({ ...this.#options, again, durable: false }, bookings);
        return this.#remember(bookings);
      } catch (error) {
        const away = isAway(error);
        if (!away && (error as { contended?: boolean }).contended !== true) throw error;
        if (away) this.suspect();
        again ||= away;
        if (performance.now() + pauseMs > deadline) {
          this.#keep(bookings);
          throw fromDatabaseError(error);
        }
        await sleep(pauseMs);
      }
    }
  }

  #remember(bookings: readonly Booking[]): void {
    const now = performance.now();
    const kept = bookings.filter(isKept);
    if (kept.length > 0) this.#recent.push({ at: now, bookings: kept });
    if (!this.#suspected && (this.#recent[0]?.at ?? now) < now - REMEMBER_MS * 2) this.#recent = this.#recent.filter((flushed) => now - flushed.at < REMEMBER_MS);
  }

  /** Calls that were made and could not be booked are booked later; a claim is given up with its caller. */
  #keep(bookings: readonly Booking[]): void {
    const kept = bookings.filter(isKept);
    const before = this.#unbooked.reduce((sum, flushed) => sum + flushed.bookings.length, 0);
    if (kept.length === 0) return;
    if (before + kept.length > MOST_UNBOOKED) this.#options.log?.error({ bookings: kept.length, kept: before }, 'The database has been away for too long: usage is lost.');
    else this.#unbooked.push({ at: performance.now(), bookings: kept });
  }
}

/** A claim that is given up may have been made anew meanwhile. */
const isKept = (booking: Booking): boolean => booking.kind !== 'free';
