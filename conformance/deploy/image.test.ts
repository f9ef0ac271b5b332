/** What the image holds: everything that its programs import, and nothing that they do not need. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SERVICE_NAMES } from '../../scripts/lib/services/catalog.ts';
import { ROOT } from '../architecture/sources.ts';
import { buildImage, type BuiltImage } from './image.ts';

/** Packages that commands import which make no sense in a container, each with the command. */
const NOT_THERE: Readonly<Record<string, string>> = {
  esbuild: 'agentos up builds what is older than its sources',
  vitest: 'agentos conformance holds an adapter against the suites of the clone',
};

let folder: string;
let image: BuiltImage;
let app: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-image-'));
  image = buildImage(folder);
  app = join(image.folder, 'app');
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }), 240_000);

const filesBelow = (path: string): string[] => readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));

describe('the image', () => {
  it('has every program, and of the repository nothing else', () => {
    expect(readdirSync(image.folder).sort()).toEqual(['app', 'var']);
    expect(readdirSync(app).sort()).toEqual(['deploy', 'dist', 'generated', 'node_modules', 'package.json', 'sdk']);
    for (const program of [...SERVICE_NAMES.map((service) => `services/${service}/main.js`), 'services/agent-orchestrator/seed-main.js', 'deploy/seed/main.js', 'scripts/agentos.js']) expect(existsSync(join(app, 'dist', program)), program).toBe(true);
    const ours = ['deploy', 'dist', 'generated', 'sdk'].flatMap((part) => filesBelow(join(app, part)).map((file) => `${part}/${file}`));
    expect(ours.filter((file) => /\.ts$|\.test\.|Dockerfile|secret(s\/|$)|\.pem$|\.env/.test(file))).toEqual([]);
  });

  it('has a package for every import of them', () => {
    const imported = filesBelow(join(app, 'dist')).filter((name) => name.endsWith('.js')).flatMap((file) => {
      const text = readFileSync(join(app, 'dist', file), 'utf8');
      const specifiers = [...text.matchAll(/^(?:import|export)\b[^"';]*["']([^"'./][^"']*)["'];$/gm), ...text.matchAll(/\bimport\(["']([^"'./][^"']*)["']\)/g)].map((match) => match[1]!);
      return specifiers.filter((specifier) => !isBuiltin(specifier)).map((specifier) => ({ file, name: specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/') }));
    });
    expect(new Set(imported.map(({ name }) => name)).size).toBeGreaterThan(12);
    const missing = imported.filter(({ name }) => !existsSync(join(app, 'node_modules', name)));
    expect(missing.filter(({ name }) => !(name in NOT_THERE))).toEqual([]);
    for (const name of Object.keys(NOT_THERE)) expect(existsSync(join(app, 'node_modules', name)), `${name} is there`).toBe(false);
  });

  it('has a command line that needs none of what is left out', () => {
    const help = spawnSync(process.execPath, [join(app, 'deploy/images/start.mjs'), 'agentos', '--help'], { encoding: 'utf8', env: {} });
    expect([help.status, help.stderr]).toEqual([0, '']);
    expect(help.stdout).toMatch(/tenants/);
  });

  it('has the packages of production and no others', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>> };
    const placed = Object.entries(packages).filter(([place]) => place.startsWith('node_modules/'));
    const wanted = ({ dev, optional, devOptional }: (typeof placed)[number][1]): boolean => !(dev || optional || devOptional);
    expect(placed.filter(([place, locked]) => existsSync(join(app, place)) !== wanted(locked)).map(([place]) => place)).toEqual([]);
    expect(existsSync(join(app, 'node_modules/.bin'))).toBe(false);
  });
});
