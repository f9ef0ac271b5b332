/**
 * Builds the image of deploy/images/Dockerfile as a folder, without an engine: the context is what .dockerignore lets
 * through, COPY copies, and RUN runs. Bases are not there, so the folder holds what the Dockerfile adds to them; and
 * `npm ci` takes the packages from this clone's node_modules, those and only those that the lockfile has for it.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import { ROOT } from '../architecture/sources.ts';
import { createIgnore, parseCopy, parseDockerfile, type Copy, type Stage } from './dockerfile.ts';

export interface BuiltImage {
  /** What the last stage adds to its base. */
  readonly folder: string;
  /** ENV of the last stage, variables filled in. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
  readonly user: string;
}

interface Locked {
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly link?: boolean;
  readonly resolved?: string;
}

const DOCKERFILE = join(ROOT, 'deploy/images/Dockerfile');

/** @param folder empty; a stage is a folder in it. */
export function buildImage(folder: string): BuiltImage {
  const stages = parseDockerfile(readFileSync(DOCKERFILE, 'utf8'));
  for (const stage of stages) buildStage(stage, folder);
  return describe(stages.at(-1)!, join(folder, stages.at(-1)!.name));
}

function buildStage(stage: Stage, folder: string): void {
  const root = join(folder, stage.name);
  mkdirSync(root);
  let cwd = '/';
  for (const { keyword, text, line } of stage.instructions) {
    if (keyword === 'WORKDIR') {
      cwd = posix.resolve(cwd, text);
      mkdirSync(join(root, cwd), { recursive: true });
    } else if (keyword === 'COPY') copy(parseCopy(text), { root, cwd, folder });
    else if (keyword === 'RUN') run(text, join(root, cwd));
    else if (!['ARG', 'LABEL', 'ENV', 'USER', 'EXPOSE', 'HEALTHCHECK', 'STOPSIGNAL', 'ENTRYPOINT'].includes(keyword)) throw new Error(`line ${line}: ${keyword} is not known here`);
  }
}

function copy({ from, chown, sources, target }: Copy, { root, cwd, folder }: { readonly root: string; readonly cwd: string; readonly folder: string }): void {
  const into = target.endsWith('/') || sources.length > 1;
  for (const source of sources) {
    const origin = from === null ? join(ROOT, source) : join(folder, from, source);
    const isFolder = statSync(origin).isDirectory();
    const place = join(root, posix.resolve(cwd, target), into && !isFolder ? basename(source) : '');
    mkdirSync(join(place, '..'), { recursive: true });
    if (from !== null && chown === null) {
      execFileSync('cp', ['-a', '--link', '-T', origin, place]);
      continue;
    }
    const ignored = from === null ? createIgnore(readFileSync(join(ROOT, '.dockerignore'), 'utf8')) : () => false;
    const passes = (file: string): boolean => from !== null || file === origin || lstatSync(file).isDirectory() || !ignored(posix.relative(ROOT, file));
    if (from === null && !isFolder && ignored(source)) throw new Error(`COPY ${source}: .dockerignore keeps it back`);
    cpSync(origin, place, { recursive: true, filter: passes, verbatimSymlinks: true, preserveTimestamps: true });
    if (chown !== null) own(place, origin, chown);
  }
}

function own(place: string, origin: string, chown: string): void {
  const [uid, gid] = chown.split(':').map(Number) as [number, number];
  if (process.getuid?.() === 0) chownSync(place, uid, gid);
  chmodSync(place, statSync(origin).mode);
  if (statSync(place).isDirectory()) for (const entry of readdirSync(place)) own(join(place, entry), join(origin, entry), chown);
}

function run(command: string, cwd: string): void {
  for (const step of command.split(' && ')) {
    if (step === 'npm ci --omit=dev --omit=optional --ignore-scripts') installProduction(cwd);
    else if (step === 'npm ci --ignore-scripts') symlinkSync(join(ROOT, 'node_modules'), join(cwd, 'node_modules'));
    else execFileSync('/bin/sh', ['-ec', step], { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] ?? '' } });
  }
}

function installProduction(cwd: string): void {
  const { packages } = JSON.parse(readFileSync(join(cwd, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, Locked>> };
  const places = Object.entries(packages).filter(([place]) => place.startsWith('node_modules/'));
  const isLeftOut = ({ dev, optional, devOptional }: Locked): boolean => dev === true || optional === true || devOptional === true;
  const isNested = (place: string): boolean => place.lastIndexOf('node_modules/') > 0;
  const folders = new Map<string, string[]>();
  for (const [place, locked] of places) {
    if (isLeftOut(locked) || isNested(place)) continue;
    const into = posix.dirname(place);
    mkdirSync(join(cwd, into), { recursive: true });
    if (locked.link === true) symlinkSync(posix.relative(into, locked.resolved!), join(cwd, place));
    else folders.set(into, [...(folders.get(into) ?? []), join(ROOT, place)]);
  }
  for (const [into, sources] of folders) execFileSync('cp', ['-a', ...linking(cwd), '-t', join(cwd, into), ...sources]);
  for (const [place, locked] of places) if (isNested(place) && isLeftOut(locked)) rmSync(join(cwd, place), { recursive: true, force: true });
}

/** Twenty thousand files need not be written again where a link does: nobody writes to either. */
const linking = (folder: string): readonly string[] => (statSync(folder).dev === statSync(join(ROOT, 'node_modules')).dev ? ['--link'] : []);

function describe(stage: Stage, folder: string): BuiltImage {
  const all = (keyword: string): readonly string[] => stage.instructions.filter((each) => each.keyword === keyword).map((each) => each.text);
  const args = Object.fromEntries(all('ARG').map((text) => text.split(/=(.*)/s).slice(0, 2) as [string, string]));
  const fill = (text: string): string => text.replace(/^"(.*)"$/, '$1').replace(/\$\{(\w+)\}/g, (_, name: string) => args[name] ?? '');
  const pairs = all('ENV').flatMap((text) => [...text.matchAll(/(\w+)=("[^"]*"|\S*)/g)].map((match) => [match[1]!, fill(match[2]!)] as const));
  const [healthcheck] = all('HEALTHCHECK').map((text) => text.slice(text.indexOf('CMD ') + 4));
  return {
    folder,
    environment: Object.fromEntries(pairs),
    workingDirectory: all('WORKDIR').at(-1) ?? '/',
    entrypoint: JSON.parse(all('ENTRYPOINT').at(-1)!) as string[],
    healthcheck: JSON.parse(healthcheck!) as string[],
    user: all('USER').at(-1)!,
  };
}
