/** Who writes a journal, and whether that process still runs. */
import { readFileSync, readlinkSync } from 'node:fs';

export interface JournalOwner {
  readonly pid: number;
  /** As the system counts it; tells a process from a later one with the same number. null: the system does not say. */
  readonly pidStart: string | null;
  /** Numbers of processes mean something within one namespace of them only. */
  readonly pidNamespace: string | null;
  /** Of the running system: another one means that the machine was started since, or is another machine. */
  readonly bootId: string | null;
  /** The database that its calls are booked in; absent: whichever has the ledger. */
  readonly databaseId?: string;
}

/** `unknown`: it ran on another machine, in another container or before this machine was started. */
export type OwnerState = 'alive' | 'dead' | 'unknown';

export function thisProcess(): JournalOwner {
  return { pid: process.pid, pidStart: processStart(process.pid), pidNamespace: readOrNull(() => readlinkSync('/proc/self/ns/pid')), bootId: readOrNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) };
}

export function stateOf(owner: JournalOwner, self: JournalOwner): OwnerState {
  if (owner.bootId !== self.bootId || owner.pidNamespace !== self.pidNamespace) return 'unknown';
  // Without a start in its file there is nothing to compare: no start would equal that of no process.
  if (self.pidStart !== null && owner.pidStart !== null) return processStart(owner.pid) === owner.pidStart ? 'alive' : 'dead';
  try {
    process.kill(owner.pid, 0);
    // Its number may have gone to another process.
    return 'unknown';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'dead' : 'unknown';
  }
}

/** A copy of a database has its ledger's id, and processes of its own. */
export function isOfAnotherDatabase(owner: JournalOwner | null, self: JournalOwner): boolean {
  return owner?.databaseId !== undefined && self.databaseId !== undefined && owner.databaseId !== self.databaseId;
}

/** What is only in the page cache is lost when a machine stops, so the end of the journal may be missing. */
export function mayHaveLostItsEnd(owner: JournalOwner, self: JournalOwner): boolean {
  return owner.bootId !== self.bootId;
}

/** null: there is no such process, or it has ended and its parent has not looked yet. */
function processStart(pid: number): string | null {
  const stat = readOrNull(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === null) return null;
  // The name in brackets may hold anything; state is the third field, the start the twenty-second.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}

function readOrNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
