/**
 * A file that is appended to for ever is kept in parts: one that has become large is set aside under the time at which
 * that was, and a new one begins under the old name. Several processes may append to the same file, and any of them may
 * set it aside: the names never meet, and who has the file open notices that another one stands in its place.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';

const STAMP = /^-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z-\d+$/;
let setAside = 0;

/** Those that were set aside, the oldest first. */
function formerParts(path: string): readonly string[] {
  const [folder, ending] = [dirname(path), extname(path)];
  const stem = basename(path, ending);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(stem) && name.endsWith(ending) && STAMP.test(name.slice(stem.length, name.length - ending.length)))
    .sort()
    .map((name) => join(folder, name));
}

/** Everything that was ever written there, the oldest first; the file itself last, where there is one. */
export function partsOf(path: string): readonly string[] {
  return [...formerParts(path), ...(existsSync(path) ? [path] : [])];
}

/** True when the file had at least `bytes` and has another name now. */
export function setAsideBeyond(path: string, bytes: number): boolean {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < bytes) return false;
  const ending = extname(path);
  setAside = (setAside + 1) % 1_000;
  const part = `${path.slice(0, path.length - ending.length)}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${process.pid * 1_000 + setAside}${ending}`;
  try {
    renameSync(path, part);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Deletes the oldest of those that were set aside, but for so many. */
export function keepParts(path: string, parts: number): void {
  for (const part of formerParts(path).slice(0, -parts)) rmSync(part, { force: true });
}
