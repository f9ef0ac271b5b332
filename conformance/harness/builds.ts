/**
 * A build of the services for one test run: bundles of what is in the working tree, which start in a fraction of the
 * time that TypeScript sources take. A mutant is a build in which one piece of one source was replaced on its way into
 * the bundle; nothing in the sources themselves knows of it.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = path.join(ROOT, 'node_modules', '.cache', 'agentos', 'test-builds');

export interface Replacement {
  /** From the repository's root. */
  readonly file: string;
  /** Must stand in the file exactly once: a mutant that changes nothing would prove nothing. */
  readonly find: string;
  readonly replace: string;
}

export interface TestBuild {
  /** Where the bundle of this source file lies. */
  entry(source: string): string;
  remove(): void;
}

let builds = 0;

export async function buildForTest(sources: readonly string[], replacements: readonly Replacement[] = []): Promise<TestBuild> {
  builds += 1;
  // Below node_modules, so that packages are found from there.
  const outdir = path.join(CACHE, `${process.pid}-${builds}`);
  mkdirSync(outdir, { recursive: true });
  const replaced = new Set<Replacement>();
  await build({
    absWorkingDir: ROOT,
    entryPoints: [...sources],
    outbase: '.',
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'error',
    plugins: replacements.length === 0 ? [] : [replacing(replacements, replaced)],
  });
  const unused = replacements.filter((replacement) => !replaced.has(replacement));
  if (unused.length > 0) throw new Error(`These files are not part of the build: ${unused.map(({ file }) => file).join(', ')}`);
  return {
    entry: (source) => path.join(outdir, source.replace(/\.ts$/, '.js')),
    remove: () => rmSync(outdir, { recursive: true, force: true }),
  };
}

function replacing(replacements: readonly Replacement[], replaced: Set<Replacement>): Plugin {
  const files = new Map<string, Replacement[]>();
  for (const replacement of replacements) {
    const file = path.join(ROOT, replacement.file);
    files.set(file, [...(files.get(file) ?? []), replacement]);
  }
  return {
    name: 'mutants',
    setup(context) {
      context.onLoad({ filter: /\.ts$/ }, ({ path: file }) => {
        const wanted = files.get(file);
        if (wanted === undefined) return null;
        let contents = readFileSync(file, 'utf8');
        for (const replacement of wanted) {
          const places = contents.split(replacement.find).length - 1;
          if (places !== 1) throw new Error(`${replacement.file}: "${replacement.find}" stands there ${places} times; a mutant needs it exactly once.`);
          contents = contents.replace(replacement.find, () => replacement.replace);
          replaced.add(replacement);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
}
