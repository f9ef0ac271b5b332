/** Documents name files that exist: links lead somewhere, and so do paths in code marks. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './sources.ts';

const SKIPPED = new Set(['node_modules', 'dist', 'coverage']);
const TOP_FOLDERS = ['services', 'specs', 'scripts', 'conformance', 'deploy', 'docs', 'sdk', 'examples', 'generated'];
const SERVICES = ['platform', 'agent-orchestrator', 'model-policy', 'federation'];
/** Made on the reader's machine. */
const MADE_LATER = /^deploy\/observability\/rendered\//;

function* markdownFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name) || entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* markdownFiles(path);
    else if (entry.name.endsWith('.md')) yield path;
  }
}

/** Without blocks of code, which show what a reader has or will have. */
const proseOf = (path: string): string => readFileSync(path, 'utf8').replace(/^```[\s\S]*?^```/gm, '');

/** Relative ones, without the part behind `#`. */
const linksIn = (prose: string): string[] => [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => !/^[a-z]+:|^#/.test(target)).map((target) => target.split('#')[0]!);

/** Those in code marks that begin with a folder of this repository or end as one of its sources; no patterns. */
const pathsIn = (prose: string): string[] =>
  [...prose.matchAll(/`([^`\n]+)`/g)].map(([, text]) => text!.replace(/^\.\//, ''))
    .filter((text) => /^[\w.-]+(\/[\w.-]+)+\/?$/.test(text) && (TOP_FOLDERS.includes(text.split('/')[0]!) || text.endsWith('.ts')) && !MADE_LATER.test(text));

const documents = [...markdownFiles(ROOT)].map((path) => ({ path, name: relative(ROOT, path), prose: proseOf(path) }));

describe('documents', () => {
  it('link to what exists', () => {
    const broken = documents.flatMap(({ path, name, prose }) => linksIn(prose).filter((target) => !existsSync(join(dirname(path), target))).map((target) => `${name} → ${target}`));
    expect(broken).toEqual([]);
  });

  it('name files and folders that exist, from the root, from themselves or from their service', () => {
    const found = (folder: string, text: string): boolean => [folder, ROOT, join(ROOT, 'services'), ...SERVICES.map((service) => join(ROOT, 'services', service))].some((from) => existsSync(join(from, text)));
    const broken = documents.flatMap(({ path, name, prose }) => pathsIn(prose).filter((text) => !found(dirname(path), text)).map((text) => `${name}: ${text}`));
    expect(broken).toEqual([]);
  });

  it('are read with an eye for both', () => {
    expect(documents.length).toBeGreaterThan(20);
    expect(linksIn('[a](b.md#c) and [d](https://e) and [f](#g)')).toEqual(['b.md']);
    expect(pathsIn('`services/x.ts`, `db/y.ts`, `GET /v1/z`, `a/*.ts`, `word`, `and/or`')).toEqual(['services/x.ts', 'db/y.ts']);
  });
});
