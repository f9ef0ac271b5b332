/**
 * The way of what finished calls leave behind into the database, as usage and decisions share it.
 *
 * What is booked in one tick belongs together: a call's ledger row, the end of its claim, its decision and its audit
 * record are kept all at once or not at all, in one frame of the journal or one transaction.
 */
import type { GroupCommitOptions } from '../../platform/db/group-commit.ts';
import type { FlushOptions, Booking } from './usage-postgres-bookings.ts';

export interface BookOptions {
  /** Resolve only when the database has it, for what other processes have to see at once. */
  readonly stored?: boolean;
  /** Called when the database has it, however late that is. */
  readonly onStored?: () => void;
}

export interface WriterLife {
  /** Whether this process may count itself as alive; asked before the journal is written. */
  readonly isTrusted: () => boolean;
  /** Has the other processes flush. */
  readonly askOthers: () => Promise<void>;
}

export interface CallWriter {
  /** null: what is booked is in the database when its caller is answered. */
  readonly journalId: string | null;
  /** Too much waits for the database, or has waited for too long: calls are refused before they reach a backend. */
  readonly isStalled: boolean;
  /** Something was booked that the database does not have yet. */
  readonly isBehind: boolean;
  /** Resolves when the caller may be answered. @throws AgentOsError dependency_unavailable; all of it is booked later then. */
  book(bookings: readonly Booking[], options?: BookOptions): Promise<void>;
  /** Resolves when the database has all that was booked before. @throws AgentOsError dependency_unavailable. */
  flush(): Promise<void>;
  /** The same for all processes, for who reads: what was answered anywhere is found then, but what the dead have left. */
  flushAll(): Promise<void>;
  /** Connections broke: the server may have gone down, and what it had not written out with it. */
  suspect(): void;
  /** To be called twice a second: sends again what may be lost, and ships what the dead have left. */
  upkeep(): Promise<void>;
  /** What the life of this process has to say about it. */
  attach(life: WriterLife): void;
  /** Waits for what is under way and lets go of everything. */
  close(): Promise<void>;
}

export interface CallWriterOptions extends Pick<FlushOptions, 'pool' | 'onAudited'> {
  readonly onFlush?: GroupCommitOptions<Booking, void>['onFlush'];
}

export interface Booked {
  readonly bookings: readonly Booking[];
  readonly options: BookOptions;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers what comes within one tick. */
export class Gathering {
  readonly #take: (booked: readonly Booked[]) => void;
  #booked: Booked[] = [];
  #taking: Promise<void> | null = null;

  constructor(take: (booked: readonly Booked[]) => void) {
    this.#take = take;
  }

  add(bookings: readonly Booking[], options: BookOptions): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#booked.push({ bookings, options, resolve, reject });
      this.#taking ??= new Promise<void>((taken) => {
        // Behind everything that this turn of the loop has received: calls that end together share what follows.
        setImmediate(() => {
          this.#taking = null;
          this.#take(this.#booked.splice(0));
          taken();
        });
      });
    });
  }

  /** Resolves when what was added before has been taken. */
  async settled(): Promise<void> {
    await this.#taking;
  }
}

/** How long callers wait for a database that is away. */
export const PATIENCE_MS = 3_000;
/** Calls that are kept in memory at most when they could be written nowhere. */
export const MOST_UNBOOKED = 20_000;
