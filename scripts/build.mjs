/**
 * Bundles the command line, its commands, the services and the SDK with esbuild. It is plain JavaScript because it runs
 * in `prepare`, before anything that could run TypeScript has been built.
 *
 * Packages stay external: they come from node_modules. What is read as data (specs, examples, deploy) is read from the
 * package root and not copied.
 */
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const started = performance.now();

const { build } = await import('esbuild').catch(() => {
  const built = existsSync(join(root, 'dist'));
  process.stderr.write(`esbuild is not installed (development dependencies were left out); ${built ? 'dist/ stays as it is' : 'there is no dist/: run npm ci with them once'}.\n`);
  process.exit(built ? 0 : 1);
});

/** Files of a folder that end in `.ts` and are programs or modules, not tests. */
function modulesOf(folder) {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.endsWith('.d.ts'))
    .sort()
    .map((file) => `${folder}/${file}`);
}

const services = existsSync(join(root, 'services')) ? readdirSync(join(root, 'services')).sort() : [];
const entries = [
  'scripts/agentos.ts',
  ...modulesOf('scripts/commands'),
  ...services.flatMap((service) => modulesOf(`services/${service}`).filter((file) => file.endsWith('main.ts'))),
  'deploy/seed/main.ts',
  'scripts/lib/alerting/mailbox-main.ts',
].filter((file) => existsSync(join(root, file)));

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
};

/** Overwrites what was built before and then removes what no longer belongs, so that there is never a moment without a build. */
async function buildInto(folder, options) {
  const { metafile } = await build({ ...common, ...options, outdir: folder, metafile: true });
  const written = new Set(Object.keys(metafile.outputs).map((file) => join(root, file)));
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isDirectory() && !written.has(file)) rmSync(file);
  }
}

async function buildRoot() {
  if (entries.length === 0) return 0;
  await buildInto('dist', { entryPoints: entries, outbase: '.', splitting: true, chunkNames: 'chunks/[name]-[hash]' });
  const program = join(root, 'dist', 'scripts', 'agentos.js');
  if (existsSync(program)) chmodSync(program, 0o755);
  return entries.length;
}

async function buildSdk() {
  const entry = 'sdk/src/index.ts';
  if (!existsSync(join(root, entry))) return 0;
  await buildInto('sdk/dist', { entryPoints: [entry], platform: 'neutral', mainFields: ['module', 'main'] });
  return 1;
}

const [programs, libraries] = await Promise.all([buildRoot(), buildSdk()]);
const seconds = ((performance.now() - started) / 1000).toFixed(2);
process.stdout.write(`Built ${programs} programs into dist/ and ${libraries} into sdk/dist/ in ${seconds} s.\n`);
