/**
 * Journals of processes that are gone are shipped by whoever finds them: at the start, and every second from then on.
 *
 * A folder is taken by renaming it, which one of many can do. Where the owner's end can be seen it is taken at once;
 * else (another container or machine, a restarted machine) when the database has not heard of its lives for their time
 * and as long again. A journal is never taken from a process that lives: that one stops writing to it before its time is over.
 *
 * A copy of the database (a dump put back beside it, a clone) has the same ledger and may have its journals in the same
 * folder: each database's processes take their own alone. Taken by the other's, calls would be booked in the wrong ledger,
 * and the claims of the dead would wait for a journal that is gone.
 */
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import type { Logger } from 'pino';
import { readFrames } from './usage-journal-frames.ts';
import { isOfAnotherDatabase, mayHaveLostItsEnd, stateOf, type JournalOwner, type OwnerState } from './usage-journal-owner.ts';
import { OWNER_FILE, RECORDS_SUFFIX, type CallJournal } from './usage-journal.ts';
import { bookingFromText, isAway, storeBookings, type Booking, type FlushOptions } from './usage-postgres-bookings.ts';
import { livesOf, releaseJournal } from './usage-postgres-replica.ts';

export interface TakeOverOptions extends Pick<FlushOptions, 'onAudited'> {
  /** Of the ledger's journals. */
  readonly folder: string;
  readonly own: Pick<CallJournal, 'id' | 'owner'>;
  readonly pool: pg.Pool;
  /** The time after which a process without a sign of life counts as gone. */
  readonly aliveMs: number;
  readonly log?: Logger | undefined;
}

interface Found {
  readonly name: string;
  readonly journalId: string;
  /** Who ships it, when somebody has begun to. */
  readonly takerId: string | null;
}

const NAME = /^(jnl_[0-9A-Za-z]+)(?:\.by\.(jnl_[0-9A-Za-z]+))?$/;
/** Frames in one transaction. A frame is never divided: what tells of one call stands together. */
const BATCH = 128;

/** @returns how many journals of other databases lie there. @throws the first failure, when all have been looked at. */
export async function takeOverJournals(options: TakeOverOptions): Promise<{ readonly foreign: number }> {
  const present = list(options.folder);
  const all = present.filter(({ name }) => !isOfAnotherDatabase(ownerOf(path.join(options.folder, name)), options.own.owner));
  let failure: unknown = null;
  for (const found of all) {
    try {
      await takeOverWhereFree(options, all, found);
    } catch (error) {
      failure ??= error;
      // Without the database the next one fails as well; one that cannot be read keeps nobody from the others.
      if (isAway(error)) break;
    }
  }
  if (failure !== null) throw failure;
  return { foreign: present.length - all.length };
}

async function takeOverWhereFree(options: TakeOverOptions, all: readonly Found[], found: Found): Promise<void> {
  if (found.journalId === options.own.id || (found.takerId !== null && found.takerId !== options.own.id && !(await isFree(options, all, found.takerId)))) return;
  if (found.takerId === null && !(await isFree(options, all, found.journalId))) return;
  await takeOver(options, found);
}

function list(folder: string): Found[] {
  return readdirSync(folder).sort().flatMap((name) => {
    const match = NAME.exec(name);
    return match === null ? [] : [{ name, journalId: match[1]!, takerId: match[2] ?? null }];
  });
}

/** Whether the writer of this journal is gone. */
async function isFree({ folder, own, pool, aliveMs }: TakeOverOptions, all: readonly Found[], journalId: string): Promise<boolean> {
  const home = all.find((found) => found.journalId === journalId);
  // A taker whose own folder is gone has ended, or has been taken over itself.
  if (home === undefined || home.takerId !== null) return true;
  const where = path.join(folder, home.name);
  const owner = ownerOf(where);
  const state: OwnerState = owner === null ? 'unknown' : stateOf(owner, own.owner);
  if (state !== 'unknown') return state === 'dead';
  const lives = await livesOf(pool, journalId, aliveMs);
  return lives.lapsed && ageMs(where) > aliveMs * 2;
}

async function takeOver({ folder, own, pool, log, onAudited }: TakeOverOptions, { name, journalId }: Found): Promise<void> {
  const mine = path.join(folder, `${journalId}.by.${own.id}`);
  try {
    if (name !== path.basename(mine)) renameSync(path.join(folder, name), mine);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const { frames, tornBytes, damaged } = readJournal(mine);
  const lives = await livesOf(pool, journalId, 0);
  for (let at = 0; at < frames.length; at += BATCH) {
    const batch = frames.slice(at, at + BATCH).flat().map((booking) => withoutLost(booking, lives.replicaIds));
    await storeBookings({ pool, again: true, durable: true, onAudited }, batch, log);
  }
  const owner = ownerOf(mine);
  const exact = !damaged && owner !== null && !mayHaveLostItsEnd(owner, own.owner);
  await releaseJournal(pool, journalId, exact);
  // Its owner last: without that, whoever comes would not know whose the rest is.
  for (const name of recordFilesIn(mine)) rmSync(path.join(mine, name), { force: true });
  rmSync(mine, { recursive: true, force: true });
  if (damaged) log?.error({ journal: journalId, tornBytes }, 'A journal is damaged; what its process had set aside of budgets counts as spent.');
  log?.info({ journal: journalId, frames: frames.length, tornBytes, exact }, 'The journal of a process that is gone was shipped.');
}

/** What a life had set aside that has been given up counts as spent already: its calls are added to the ledger alone. */
function withoutLost(booking: Booking, known: ReadonlySet<string>): Booking {
  return booking.kind === 'end' ? { ...booking, parts: booking.parts.filter(({ replicaId }) => known.has(replicaId)) } : booking;
}

export function readJournal(folder: string): { readonly frames: readonly (readonly Booking[])[]; readonly tornBytes: number; readonly damaged: boolean } {
  const read = recordFilesIn(folder).map((name) => readFrames(readFileSync(path.join(folder, name))));
  return {
    frames: read.flatMap(({ frames }) => frames.map((records) => records.map(bookingFromText))),
    tornBytes: read.reduce((sum, { tornBytes }) => sum + tornBytes, 0),
    damaged: read.some(({ damaged }) => damaged),
  };
}

const recordFilesIn = (folder: string): readonly string[] => readdirSync(folder).filter((name) => name.endsWith(RECORDS_SUFFIX)).sort();

function ownerOf(folder: string): JournalOwner | null {
  try {
    return JSON.parse(readFileSync(path.join(folder, OWNER_FILE), 'utf8')) as JournalOwner;
  } catch {
    return null;
  }
}

function ageMs(folder: string): number {
  try {
    return Date.now() - statSync(folder).mtimeMs;
  } catch {
    return 0;
  }
}
