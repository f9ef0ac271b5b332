/**
 * Everything that breaks between two versions of the contract: operations (redocly diff, and what our extensions
 * promise), schemas, error codes, event types, scopes and roles.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { streamItem } from './client.ts';
import type { Contract } from './contract-model.ts';
import { isPlanned, type JsonSchema, listOperations, type OpenApiDocument, type OperationView } from './openapi.ts';
import { type ServiceName, services } from './paths.ts';
import { runRedocly } from './redocly.ts';
import { type Direction, diffSchema } from './schema-diff.ts';
import { COMPONENT_PREFIX, referencedNames, schemaName, type SchemaLibrary } from './schema-library.ts';

/** One broken promise. `what` and `change` together are what an entry in BREAKING.md names. */
export interface Finding {
  /** An operationId, `schema <Name>`, `error code <code>`, `event type <type>`, `scope <scope>` or `role <role>`. */
  readonly what: string;
  readonly change: string;
}

export async function diffContracts(base: Contract, next: Contract): Promise<Finding[]> {
  const findings = diffDeclarations(base, next);
  const covered = new Set(findings.map((finding) => finding.what));
  const reported = await Promise.all(services.map((service) => diffDocuments(service, base.openapi[service], next.openapi[service])));
  // A change inside a shared schema is reported once, by the comparison of schemas, which knows its direction.
  findings.push(...reported.flat().filter((finding) => !(finding.what.startsWith('schema ') && covered.has(finding.what))));
  const unique = new Map(findings.map((finding) => [`${finding.what}: ${finding.change}`, finding]));
  return [...unique.values()].sort((a, b) => (a.what + a.change < b.what + b.change ? -1 : 1));
}

/** The part that needs no other program: schemas, codes, event types and what our extensions promise. */
export function diffDeclarations(base: Contract, next: Contract): Finding[] {
  return [
    ...diffSchemas(base, next),
    ...diffErrorCodes(base, next),
    ...diffEventTypes(base, next),
    ...diffAccess(base, next),
    ...services.flatMap((service) => diffPromises(base.openapi[service], next.openapi[service])),
  ];
}

function diffSchemas(base: Contract, next: Contract): Finding[] {
  const findings: Finding[] = [];
  const directions = schemaDirections(base);
  const knownEventTypes = new Set(base.eventTypes.map(({ type }) => type));
  for (const [name, schema] of Object.entries(base.schemas)) {
    const what = `schema ${name}`;
    const changed = next.schemas[name];
    if (changed === undefined) {
      findings.push({ what, change: 'removed' });
      continue;
    }
    const report = (change: string): void => void findings.push({ what, change: change.trim() });
    diffSchema(schema, changed, '', { base: base.schemas, next: next.schemas, direction: directions(name), knownEventTypes, report });
  }
  return findings;
}

/** Which way each schema travels; one that no operation mentions is held to both. */
function schemaDirections(contract: Contract): (name: string) => Direction {
  const sent = new Set<string>();
  const emitted = new Set<string>();
  for (const service of services) {
    for (const operation of listOperations(contract.openapi[service])) {
      reach(operation.requestBody, contract.schemas, sent);
      reach(operation.parameters, contract.schemas, sent);
      for (const [, response] of operation.responses) reach(response, contract.schemas, emitted);
      const item = streamItem(operation);
      if (item !== null) reach({ $ref: COMPONENT_PREFIX + item }, contract.schemas, emitted);
    }
  }
  for (const { payload } of contract.eventTypes) reach({ $ref: COMPONENT_PREFIX + schemaName(payload) }, contract.schemas, emitted);
  return (name) => (sent.has(name) || emitted.has(name) ? { in: sent.has(name), out: emitted.has(name) } : { in: true, out: true });
}

function reach(node: unknown, library: SchemaLibrary, found: Set<string>): void {
  for (const name of referencedNames(node)) {
    if (found.has(name)) continue;
    found.add(name);
    reach(library[name] ?? {}, library, found);
  }
}

function diffErrorCodes(base: Contract, next: Contract): Finding[] {
  return Object.entries(base.errorCodes).flatMap(([code, before]) => {
    const what = `error code ${code}`;
    const after = next.errorCodes[code];
    if (after === undefined) return [{ what, change: 'removed' }];
    const findings: Finding[] = [];
    for (const status of before.statuses) if (!after.statuses.includes(status)) findings.push({ what, change: `status-removed ${status}` });
    if (before.status !== after.status) findings.push({ what, change: `status-changed ${before.status} to ${after.status}` });
    if (before.retryable !== after.retryable) findings.push({ what, change: 'retryable-changed' });
    return findings;
  });
}

function diffEventTypes(base: Contract, next: Contract): Finding[] {
  return base.eventTypes.flatMap((before) => {
    const what = `event type ${before.type}`;
    const after = next.eventTypes.find(({ type }) => type === before.type);
    if (after === undefined) return [{ what, change: 'removed' }];
    const findings: Finding[] = [];
    if (before.payload !== after.payload) findings.push({ what, change: `payload-changed ${before.payload} to ${after.payload}` });
    if (before.terminal !== after.terminal) findings.push({ what, change: 'terminal-changed' });
    if (before.required && !after.required) findings.push({ what, change: 'no-longer-required' });
    if (before.short_name !== after.short_name) findings.push({ what, change: 'short-name-changed' });
    return findings;
  });
}

/** Whoever holds a scope or a role keeps what it gives; what is added to a role narrows nobody. */
function diffAccess({ access: base }: Contract, { access: next }: Contract): Finding[] {
  const findings: Finding[] = [];
  for (const [scope, row] of Object.entries(base.scopes)) {
    const after = next.scopes[scope];
    if (after === undefined) findings.push({ what: `scope ${scope}`, change: 'removed' });
    else if (after.platform !== row.platform) findings.push({ what: `scope ${scope}`, change: after.platform ? 'reaches beyond a tenant now' : 'reaches no further than a tenant now' });
  }
  for (const [alias, stands] of Object.entries(base.aliases)) {
    for (const scope of stands) if (next.aliases[alias]?.includes(scope) !== true) findings.push({ what: `scope ${alias}`, change: `stands for ${scope} no longer` });
  }
  for (const [role, row] of Object.entries(base.roles)) {
    const after = next.roles[role];
    const lost = (kind: string, values: readonly string[], kept: readonly string[] | undefined): Finding[] => values.filter((value) => kept?.includes(value) !== true).map((value) => ({ what: `role ${role}`, change: `${kind}-removed ${value}` }));
    if (after === undefined) findings.push({ what: `role ${role}`, change: 'removed' });
    else findings.push(...lost('scope', row.scopes, after.scopes), ...lost('alias', row.aliases, after.aliases), ...lost('principal-type', row.principal_types, after.principal_types));
  }
  return findings;
}

/** What our extensions and names promise, which an OpenAPI comparison does not look at. */
function diffPromises(base: OpenApiDocument, next: OpenApiDocument): Finding[] {
  const later = new Map(listOperations(next).map((operation) => [`${operation.method} ${operation.path}`, operation]));
  return listOperations(base).flatMap((before) => {
    const after = later.get(`${before.method} ${before.path}`);
    return after === undefined ? [] : brokenPromises(before, after).map((change) => ({ what: before.operationId, change }));
  });
}

function brokenPromises(before: OperationView, after: OperationView): string[] {
  const changes: string[] = [];
  const read = (operation: OperationView, name: string): unknown => operation.node[`x-agentos-${name}`];
  if (before.operationId !== after.operationId) changes.push(`operation-renamed to ${after.operationId}`);
  const had = (read(before, 'scopes') ?? []) as string[];
  for (const scope of (read(after, 'scopes') ?? []) as string[]) if (!had.includes(scope)) changes.push(`scope-added ${scope}`);
  if (read(before, 'tenancy') !== read(after, 'tenancy')) changes.push(`tenancy-changed to ${String(read(after, 'tenancy'))}`);
  if (read(before, 'idempotency') !== 'none' && read(before, 'idempotency') !== read(after, 'idempotency')) {
    changes.push(`idempotency-changed to ${String(read(after, 'idempotency'))}`);
  }
  if (!isPlanned(before) && isPlanned(after)) changes.push('not served any more (planned)');
  const repeatable = (operation: OperationView): string[] => operation.parameters.filter(({ schema }) => singleForm(schema) !== null).map(({ name }) => name);
  for (const name of repeatable(before)) if (!repeatable(after).includes(name)) changes.push(`parameter-not-repeatable ${name}`);
  if (after.requestBody?.required === true && before.requestBody?.required !== true) changes.push('request-body-required');
  const stream = streamItem(before);
  // A stream whose frames had no schema promised nothing about them.
  if (stream !== null && stream !== 'unknown' && stream !== streamItem(after)) changes.push(`stream-item-changed ${stream} to ${String(streamItem(after))}`);
  return changes;
}

interface RedoclyDiff {
  readonly changes: ReadonlyArray<{
    readonly path: string;
    readonly impact: string;
    readonly verdicts: ReadonlyArray<{ readonly ruleId: string; readonly impact: string; readonly message: string; readonly location?: { readonly pointer?: string } }>;
  }>;
}

async function diffDocuments(service: ServiceName, base: OpenApiDocument, next: OpenApiDocument): Promise<Finding[]> {
  const [before, after] = [comparable(base, base), comparable(next, base)];
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const folder = mkdtempSync(join(tmpdir(), 'agentos-diff-'));
  try {
    writeFileSync(join(folder, 'base.json'), JSON.stringify(before));
    writeFileSync(join(folder, 'next.json'), JSON.stringify(after));
    const result = await runRedocly(['diff', 'base.json', 'next.json', '--format=json', '--fail-on=none'], folder);
    const start = result.stdout.indexOf('{');
    if (result.exitCode !== 0 || start === -1) throw new Error(`redocly diff of ${service} failed:\n${result.stdout}${result.stderr}`);
    const { changes } = JSON.parse(result.stdout.slice(start)) as RedoclyDiff;
    return changes.flatMap((change) => majorVerdicts(change, base, next));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function majorVerdicts(change: RedoclyDiff['changes'][number], base: OpenApiDocument, next: OpenApiDocument): Finding[] {
  return change.verdicts
    .filter((verdict) => verdict.impact === 'major')
    .map((verdict) => ({ what: subjectOf(verdict.location?.pointer ?? change.path, change.path, base, next), change: `${verdict.ruleId}: ${verdict.message}` }));
}

/** The shared schema that a verdict is about, else the operation it was met in, else the place itself. */
function subjectOf(pointer: string, path: string, base: OpenApiDocument, next: OpenApiDocument): string {
  const schema = /^#\/components\/schemas\/([^/]+)/.exec(pointer);
  if (schema !== null) return `schema ${schema[1]}`;
  const place = /^#\/paths\/([^/]+)(?:\/([a-z]+))?/.exec(path);
  if (place === null) return path;
  const name = place[1]!.replaceAll('~1', '/').replaceAll('~0', '~');
  for (const document of [base, next]) {
    const found = listOperations(document).filter((operation) => operation.path === name && (place[2] === undefined || operation.method === place[2]));
    if (found.length > 0) return found.map((operation) => operation.operationId).join(', ');
  }
  return name;
}

/**
 * A planned operation promises nothing but a 501 yet: that answer may go when the operation is built. Versions and
 * texts are not part of the promise either. A parameter that may now be repeated still takes the single value it took.
 */
function comparable(document: OpenApiDocument, base: OpenApiDocument): object {
  const planned = new Set(listOperations(base).filter(isPlanned).map((operation) => `${operation.method} ${operation.path}`));
  const copy = structuredClone(document) as { info: { version: string }; paths: Record<string, Record<string, { responses?: Record<string, unknown> }>> };
  copy.info.version = '0';
  for (const key of planned) {
    const [method = '', path = ''] = key.split(' ');
    delete copy.paths[path]?.[method]?.responses?.['501'];
  }
  const parametersOf = (of: unknown): Record<string, { schema?: JsonSchema }> => (of as { components?: { parameters?: Record<string, { schema?: JsonSchema }> } }).components?.parameters ?? {};
  for (const [name, parameter] of Object.entries(parametersOf(copy))) {
    if (singleForm(parametersOf(base)[name]?.schema) === null) parameter.schema = singleForm(parameter.schema) ?? parameter.schema;
  }
  return copy;
}

/** X, where a schema says "an X or a list of X". */
function singleForm(schema: JsonSchema | undefined): JsonSchema | null {
  const [single, list, ...others] = (schema?.['anyOf'] ?? []) as JsonSchema[];
  if (single === undefined || list?.['type'] !== 'array' || others.length > 0) return null;
  return JSON.stringify(list['items']) === JSON.stringify(single) ? single : null;
}

