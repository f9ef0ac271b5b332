/** The difference between what the specs generate and what lies in the working tree. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { markdownHeader } from './paths.ts';

export interface Difference {
  readonly kind: 'changed' | 'missing' | 'left over';
  readonly path: string;
  /** The first line that differs; empty where there is nothing to compare. */
  readonly evidence: string;
}

/** A folder that holds generated files only: whatever else lies in it is left over, tracked by git or not. */
const GENERATED_FOLDER = 'generated';

/** A folder where files written by hand may stand beside generated ones, which begin with the note that says so. */
const SHARED_FOLDER = 'docs/reference';

export function compareWithTree(files: ReadonlyMap<string, string>, root: string): Difference[] {
  const differences: Difference[] = [];
  for (const [path, expected] of files) {
    const target = join(root, path);
    if (!existsSync(target)) {
      differences.push({ kind: 'missing', path, evidence: '' });
      continue;
    }
    const actual = readFileSync(target, 'utf8');
    if (actual !== expected) differences.push({ kind: 'changed', path, evidence: firstDifference(expected, actual) });
  }
  const candidates = [
    ...listFiles(join(root, GENERATED_FOLDER), root),
    ...listFiles(join(root, SHARED_FOLDER), root).filter((path) => readFileSync(join(root, path), 'utf8').startsWith(markdownHeader())),
  ];
  for (const path of candidates) {
    if (!files.has(path)) differences.push({ kind: 'left over', path, evidence: '' });
  }
  return differences.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function listFiles(folder: string, root: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
}

function firstDifference(expected: string, actual: string): string {
  const wanted = expected.split('\n');
  const found = actual.split('\n');
  const line = wanted.findIndex((text, index) => text !== found[index]);
  const at = line === -1 ? wanted.length : line;
  const show = (text: string | undefined): string => (text === undefined ? 'nothing' : JSON.stringify(text.trim().slice(0, 100)));
  return `line ${at + 1} should be ${show(wanted[at])} and is ${show(found[at])}`;
}
