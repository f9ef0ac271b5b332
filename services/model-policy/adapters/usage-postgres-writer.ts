/**
 * The way of bookings to the database: together, in order, again when it is away, and again when it may have forgotten.
 *
 * A booking whose caller was answered stands in the server's memory and is written out within the second. Until then
 * this process remembers it: should the server break down, whatever did not reach its disk is sent again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import { GroupCommit } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError } from '../../platform/db/sqlstate.ts';
import { bookingKey, flushBookings, type Booking, type BookingVerdict } from './usage-postgres-bookings.ts';

export interface WriterOptions {
  readonly pool: pg.Pool;
  readonly replicaId: () => string;
  readonly log?: Logger | undefined;
}

interface Flushed {
  readonly at: number;
  readonly bookings: readonly Booking[];
}

/** PostgreSQL writes out what was committed asynchronously within three times wal_writer_delay, 0.6 s unless somebody raised it. */
const REMEMBER_MS = 3_000;
/** How long callers wait for a database that is away. */
const PATIENCE_MS = 3_000;
const MOST_UNBOOKED = 20_000;

export class BookingWriter {
  readonly #options: WriterOptions;
  readonly #commits: GroupCommit<Booking, BookingVerdict>;
  readonly #onPoolError = (): void => this.suspect();
  #recent: Flushed[] = [];
  /** Not booked yet, though their callers have gone. */
  #unbooked: Flushed[] = [];
  #suspected = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#commits = new GroupCommit({ flush: (bookings) => this.#flush(bookings), key: bookingKey, maxBatch: 256, maxWaiting: 20_000 });
    options.pool.on('error', this.#onPoolError);
  }

  book(booking: Booking): Promise<BookingVerdict> {
    return this.#commits.submit(booking);
  }

  /** Connections broke: the server may have gone down, and what it had not written out with it. */
  suspect(): void {
    this.#suspected = true;
  }

  /** Sends again what may be lost and what could not be sent. @throws when the database is still away. */
  async recover(): Promise<void> {
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
        await flushBookings(this.#options.pool, this.#options.replicaId(), bookings, true);
        this.#recent.push({ at: performance.now(), bookings });
      } catch (error) {
        this.#unbooked = [...again.slice(index), ...this.#unbooked];
        throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.#commits.close();
    await this.recover().catch((error: unknown) => this.#options.log?.error({ err: error, calls: this.#unbooked.length }, 'Usage could not be booked before the end.'));
    this.#options.pool.off('error', this.#onPoolError);
  }

  async #flush(bookings: readonly Booking[]): Promise<BookingVerdict[]> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let again = false, pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        const verdicts = await flushBookings(this.#options.pool, this.#options.replicaId(), bookings, again);
        this.#remember(bookings);
        return verdicts;
      } catch (error) {
        const away = isConnectionError(error) || isConnectionError((error as Error).cause);
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
    const ended = bookings.filter((booking) => booking.kind === 'end');
    if (ended.length === 0) return;
    const now = performance.now();
    this.#recent.push({ at: now, bookings: ended });
    if (!this.#suspected && this.#recent[0]!.at < now - REMEMBER_MS * 2) this.#recent = this.#recent.filter((flushed) => now - flushed.at < REMEMBER_MS);
  }

  /** Calls that were made and could not be booked are booked later; claims are given up with their callers. */
  #keep(bookings: readonly Booking[]): void {
    const ended = bookings.filter((booking) => booking.kind === 'end');
    if (ended.length === 0) return;
    const kept = this.#unbooked.reduce((sum, flushed) => sum + flushed.bookings.length, 0);
    if (kept + ended.length > MOST_UNBOOKED) this.#options.log?.error({ calls: ended.length, kept }, 'The database has been away for too long: usage is lost.');
    else this.#unbooked.push({ at: performance.now(), bookings: ended });
  }
}
