/**
 * A file that operators change while the process runs: it is looked at when its folder changes, every few seconds where
 * the file system tells of no changes, and on SIGHUP. Everything in this process that follows a file does it by this.
 */
import { watch, type FSWatcher } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Editors write in several steps, and mounted files are swapped as whole folders. */
const SETTLE_MS = 150;
/** Not every file system tells of changes. */
const LOOK_MS = 5_000;

export interface FollowedFile {
  close(): void;
}

/** One listener for all, whatever their number. */
const onSignal = new Set<() => void>();
const signaled = (): void => {
  for (const each of [...onSignal]) each();
};

function hear(listener: () => void): () => void {
  if (onSignal.size === 0) process.on('SIGHUP', signaled);
  onSignal.add(listener);
  return () => {
    if (onSignal.delete(listener) && onSignal.size === 0) process.off('SIGHUP', signaled);
  };
}

/**
 * Looks whenever the file may have changed, and now and then besides.
 * @param onSignal in place of `look` on SIGHUP
 */
export function lookOften(path: string, look: () => void, { lookMs = LOOK_MS, onSignal = look }: { readonly lookMs?: number; readonly onSignal?: () => void } = {}): FollowedFile {
  let timer: NodeJS.Timeout | null = null;
  let watcher: FSWatcher | null = null;
  const interval = setInterval(look, lookMs).unref();
  try {
    watcher = watch(dirname(path), { persistent: false }, () => {
      if (timer !== null) clearTimeout(timer);
      timer = setTimeout(look, SETTLE_MS).unref();
    });
    watcher.on('error', () => undefined);
  } catch {
    // The look every few seconds remains.
  }
  const unhear = hear(onSignal);
  return {
    close() {
      unhear();
      clearInterval(interval);
      if (timer !== null) clearTimeout(timer);
      watcher?.close();
    },
  };
}

/**
 * What a look at a file costs, without reading it: what `stat` finds at the end of all links, which changes with a new
 * text as well as with a link that is swapped. @throws an error of the file system.
 */
export async function fileVersion(path: string): Promise<{ readonly version: string; readonly bytes: number }> {
  const { mtimeMs, size, ino, dev } = await stat(path);
  return { version: `${mtimeMs}-${size}-${dev}-${ino}`, bytes: size };
}

export interface Follower {
  /** Each text that differs from the one before, once; what it throws is its own to report. */
  changed(text: string): void;
  /** A look at a file that holds what it held before. */
  same?(text: string): void;
  /** A look that could not read it. Once may be while it is being replaced. */
  missing?(error: NodeJS.ErrnoException): void;
  /** SIGHUP came; without it the file is looked at. */
  signaled?(): void;
}

/** @param text what the file held when the caller read it */
export function followFile(path: string, text: string, follower: Follower | Follower['changed']): FollowedFile & { look(): Promise<void> } {
  const told: Follower = typeof follower === 'function' ? { changed: follower } : follower;
  let last = text;
  const look = async (): Promise<void> => {
    let now: string;
    try {
      now = await readFile(path, 'utf8');
    } catch (error) {
      return told.missing?.(error as NodeJS.ErrnoException);
    }
    if (now === last) return told.same?.(now);
    last = now;
    told.changed(now);
  };
  const { close } = lookOften(path, () => void look(), told.signaled === undefined ? {} : { onSignal: () => told.signaled!() });
  return { look, close };
}
