/**
 * A file that operators change while the process runs: it is read again when its folder changes, every five seconds
 * where the file system tells of no changes, and on SIGHUP. Whoever follows it hears of each new text once.
 */
import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Editors write in several steps, and mounted files are swapped as whole folders. */
const SETTLE_MS = 150;
/** Not every file system tells of changes. */
const LOOK_MS = 5_000;

export interface FollowedFile {
  close(): void;
}

/**
 * @param text what the file held when the caller read it
 * @param changed told each text that differs from the one before; what it throws is its own to report
 */
export function followFile(path: string, text: string, changed: (text: string) => void): FollowedFile {
  let last = text;
  let timer: NodeJS.Timeout | null = null;
  let watcher: FSWatcher | null = null;
  const look = async (): Promise<void> => {
    // A file that is gone for a moment is being replaced.
    const now = await readFile(path, 'utf8').catch(() => null);
    if (now === null || now === last) return;
    last = now;
    changed(now);
  };
  const onSignal = (): void => void look();
  const interval = setInterval(onSignal, LOOK_MS).unref();
  try {
    watcher = watch(dirname(path), { persistent: false }, () => {
      if (timer !== null) clearTimeout(timer);
      timer = setTimeout(onSignal, SETTLE_MS).unref();
    });
    watcher.on('error', () => undefined);
  } catch {
    // The look every few seconds remains.
  }
  process.on('SIGHUP', onSignal);
  return {
    close() {
      process.off('SIGHUP', onSignal);
      clearInterval(interval);
      if (timer !== null) clearTimeout(timer);
      watcher?.close();
    },
  };
}
