/** `specs/openapi/<service>.yaml` → one self-contained document a service, components under their global names. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenApiDocument } from './openapi.ts';
import { type GeneratedFiles, pascalCase, type ServiceName, services, specsFolder } from './paths.ts';
import { runRedocly } from './redocly.ts';
import { mapSchema } from './schema-library.ts';

export type Bundles = Readonly<Record<ServiceName, OpenApiDocument>>;

export function sourceOf(service: ServiceName, folder = specsFolder): string {
  return join(folder, 'openapi', `${service}.yaml`);
}

export async function bundle(folder = specsFolder): Promise<Bundles> {
  const missing = services.map((service) => sourceOf(service, folder)).filter((file) => !existsSync(file));
  if (missing.length > 0) throw new Error(`The contract is incomplete: ${missing.join(', ')} not found.`);
  const output = mkdtempSync(join(tmpdir(), 'agentos-bundle-'));
  try {
    const sources = services.map((service) => sourceOf(service, folder));
    const result = await runRedocly(['bundle', ...sources, '--output', output, '--ext', 'json'], folder);
    if (result.exitCode !== 0) throw new Error(`redocly bundle failed:\n${result.stdout}${result.stderr}`);
    const entries = services.map((service) => {
      const text = readFileSync(join(output, `${service}.json`), 'utf8');
      return [service, nameComponents(JSON.parse(text) as OpenApiDocument)] as const;
    });
    return Object.fromEntries(entries) as unknown as Bundles;
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

/**
 * Redocly names a bundled file's component by its basename (`run.schema`). The global name is `Run`. `$id` and
 * `$schema` go: express-openapi-validator answers 500 on every route of a document that carries them. `$defs` go: each
 * definition that is used has become a component.
 */
function nameComponents(document: OpenApiDocument): OpenApiDocument {
  const renamed = mapSchema(document as never, (member, value) => {
    if (member !== '$ref' || typeof value !== 'string') return value;
    return value.replace(/^(#\/components\/schemas\/)(.+)$/, (_all, prefix: string, name: string) => prefix + componentName(name));
  }) as unknown as OpenApiDocument;
  const schemas: Record<string, Record<string, unknown>> = {};
  for (const [name, schema] of Object.entries(renamed.components?.schemas ?? {})) {
    const { $defs: _definitions, ...rest } = schema as Record<string, unknown>;
    const existing = schemas[componentName(name)];
    if (existing !== undefined && JSON.stringify(existing) !== JSON.stringify(rest)) {
      throw new Error(`Two different schemas of ${document.info.title} are named ${componentName(name)}. Rename one in specs/.`);
    }
    schemas[componentName(name)] = rest;
  }
  const sorted = Object.fromEntries(Object.keys(schemas).sort().map((name) => [name, schemas[name]!]));
  return { ...renamed, components: { ...renamed.components, schemas: sorted } };
}

function componentName(name: string): string {
  return pascalCase(name.replace(/\.schema$/, ''));
}

export function generateBundles(bundles: Bundles): GeneratedFiles {
  return new Map(services.map((service) => [`generated/openapi/${service}.json`, `${JSON.stringify(bundles[service], null, 1)}\n`]));
}
