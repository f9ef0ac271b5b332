/**
 * `npm run release:sbom [-- FILE]`: the bill of materials of a release, as CycloneDX JSON. It is read from the lockfile
 * alone, so that it says what is shipped rather than what lies on this machine, and it is the same each time for the
 * same lockfile: npm's serial number and moment are replaced by ones that derive from the content.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { $ } from 'zx';

export interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly [member: string]: unknown;
}

export interface Sbom {
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly metadata: { readonly component: { readonly name: string; readonly version: string; readonly [member: string]: unknown }; readonly [member: string]: unknown };
  readonly components: readonly Component[];
  readonly [member: string]: unknown;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What a release is made of: dependencies of production with their own, each with version and hash. */
export async function makeSbom(): Promise<Sbom> {
  // Not `--omit dev`: npm 11 then also leaves out what development and production share (ajv, the AWS SDK's core …).
  const { stdout } = await $({ cwd: ROOT, quiet: true })`npm sbom --sbom-format cyclonedx --sbom-type application --package-lock-only`;
  return withoutChance(ofProduction(JSON.parse(stdout) as Sbom));
}

/** The lockfile marks what development alone needs. */
function ofProduction(sbom: Sbom): Sbom {
  const { packages } = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, { readonly version?: string; readonly dev?: boolean; readonly link?: boolean }>> };
  const shipped = new Set(Object.entries(packages).filter(([place, { dev, link }]) => place.includes('node_modules/') && dev !== true && link !== true).map(([place, { version }]) => `${place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)}@${version}`));
  const components = sbom.components.filter(({ name, version }) => shipped.has(`${name}@${version}`));
  const kept = new Set([...components.map((each) => String(each['bom-ref'])), String(sbom.metadata.component['bom-ref'])]);
  const dependencies = ((sbom['dependencies'] as readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[] | undefined) ?? [])
    .filter(({ ref }) => kept.has(ref)).map(({ ref, dependsOn }) => ({ ref, dependsOn: (dependsOn ?? []).filter((each) => kept.has(each)) }));
  return { ...sbom, components, dependencies };
}

function withoutChance(sbom: Sbom): Sbom {
  const { name, version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { name: string; version: string };
  const { timestamp: _moment, ...metadata } = sbom.metadata;
  const byReference = (a: { readonly [member: string]: unknown }, b: typeof a): number => (String(a['bom-ref'] ?? a['ref']) < String(b['bom-ref'] ?? b['ref']) ? -1 : 1);
  const fixed = {
    ...sbom,
    // npm takes the name of the folder.
    metadata: { ...metadata, component: { ...sbom.metadata.component, name, version } },
    components: [...sbom.components].sort(byReference),
    dependencies: [...((sbom['dependencies'] as { readonly [member: string]: unknown }[] | undefined) ?? [])].sort(byReference),
  };
  const digest = createHash('sha256').update(JSON.stringify({ ...fixed, serialNumber: '' })).digest('hex');
  return { ...fixed, serialNumber: `urn:uuid:${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sbom = await makeSbom();
  const file = path.resolve(process.argv[2] ?? path.join(ROOT, 'dist', 'release', `agentos-${sbom.metadata.component.version}.cdx.json`));
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`);
  process.stdout.write(`${file}: ${sbom.components.length} components, CycloneDX ${sbom.specVersion}\n`);
}
