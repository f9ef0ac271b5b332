/** The reference pages: operations, error codes and event types as the specs say them, settings as their table does. */
import { VARIABLES, type Variable } from '../../services/platform/config/variables.ts';
import type { Bundles } from './bundle.ts';
import { readErrorCodes } from './error-codes.ts';
import { readEventTypes } from './event-types.ts';
import { aliasOf, isPlanned, type JsonSchema, listOperations, type OperationView } from './openapi.ts';
import { type GeneratedFiles, markdownHeader, services } from './paths.ts';
import { schemaName, type SchemaLibrary } from './schema-library.ts';

export function generateReference(bundles: Bundles, library: SchemaLibrary): GeneratedFiles {
  return new Map([
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/events.md', eventsPage(library)],
    ['docs/reference/operations.md', operationsPage(bundles)],
    ['docs/reference/settings.md', settingsPage()],
  ]);
}

function table(columns: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
}

function errorsPage(): string {
  const rows = Object.entries(readErrorCodes()).map(([code, row]) => [`\`${code}\``, row.statuses.join(', '), row.retryable ? 'yes' : 'no', row.meaning]);
  return `${markdownHeader()}# Error codes

Every error answer is the error model of Appendix A.3: \`error.code\`, \`error.message\`, \`error.retryable\`, \`error.details\`,
and \`correlation_id\`. The set of codes grows; treat one you do not know by its status and \`retryable\`.

${table(['code', 'status', 'retryable', 'meaning'], rows)}
`;
}

function eventsPage(library: SchemaLibrary): string {
  const types = readEventTypes();
  const rows = types.map((row) => [`\`${row.type}\``, row.terminal ? 'ends the run' : '', row.description]);
  const sections = types.map((row) => {
    const schema = library[schemaName(row.payload)] ?? {};
    const members = payloadRows(schema);
    const payload = members.length === 0 ? 'The payload has no declared members.' : table(['member', 'type', 'required', 'meaning'], members);
    const source = row.appendix === null ? '' : ` (Appendix ${row.appendix})`;
    return `## ${row.type}\n\n${row.description}${source}\n\n${payload}`;
  });
  return `${markdownHeader()}# Events of a run

A run's events have the sequences 1, 2, 3, … without a gap; ids are stable over reads. Exactly one event ends a run, and
it is the last. The set of types grows; skip one you do not know.

${table(['type', '', 'meaning'], rows)}

${sections.join('\n\n')}
`;
}

function payloadRows(schema: JsonSchema): string[][] {
  const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>;
  const required = (schema['required'] ?? []) as string[];
  return Object.entries(properties).map(([name, member]) => [
    `\`${name}\``,
    typeName(member),
    required.includes(name) ? 'yes' : '',
    String(member['description'] ?? ''),
  ]);
}

function typeName(schema: JsonSchema): string {
  if (typeof schema['$ref'] === 'string') return schema['$ref'].split('/').at(-1)!;
  if (schema['const'] !== undefined) return `\`${JSON.stringify(schema['const'])}\``;
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  const alternatives = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(alternatives)) return alternatives.map((alternative) => typeName(alternative as JsonSchema)).join(' or ');
  if (Array.isArray(schema['type'])) return schema['type'].join(' or ');
  return typeof schema['type'] === 'string' ? schema['type'] : 'any';
}

function operationsPage(bundles: Bundles): string {
  const sections = services.map((service) => {
    const rows = listOperations(bundles[service]).map(operationRow);
    const columns = ['operation', 'method and path', 'scopes', 'tenancy', 'idempotency', 'rate limit', 'state'];
    return `## ${bundles[service].info.title}\n\n${table(columns, rows)}`;
  });
  return `${markdownHeader()}# Operations

What each operation needs. \`tenancy\`: \`none\` is open, \`tenant\` acts for one active tenant, \`platform\` is administration.
\`idempotency\`: \`key\` honours an \`Idempotency-Key\`, \`natural\` may be repeated as it is. A planned operation is specified
and answers 501 until it is built.

${sections.join('\n\n')}
`;
}

function operationRow(operation: OperationView): string[] {
  const { node } = operation;
  const scopes = (node['x-agentos-scopes'] as string[] | undefined) ?? [];
  const alias = aliasOf(operation);
  const state = [alias === null ? '' : `another path of \`${alias}\``, isPlanned(operation) ? 'planned' : ''].filter((text) => text !== '');
  return [
    `\`${operation.operationId}\``,
    `\`${operation.method.toUpperCase()} ${operation.path}\``,
    scopes.map((scope) => `\`${scope}\``).join(' '),
    String(node['x-agentos-tenancy']),
    String(node['x-agentos-idempotency']),
    String(node['x-agentos-rate-limit']),
    state.join(', ') || 'served',
  ];
}

function settingsPage(): string {
  return `<!-- Generated by \`npm run generate\` from services/platform/config/variables.ts. Do not edit: change the table there. -->

# Settings

A flag beats the environment, the environment beats \`.agentos.env\`, and that beats the default. An unknown \`AGENTOS_*\` name
is reported with the nearest known one. Each secret \`NAME\` can be a file, \`NAME_FILE=/run/secrets/name\`, or a reference:
\`NAME=vault://mount/path#field\`, \`NAME=aws-sm://id#field\` ([how](../guides/security.md#secrets)).

${table(['name', 'type', 'default', 'meaning', 'read by'], VARIABLES.map(settingRow))}
`;
}

function settingRow(variable: Variable): string[] {
  const { name, type, allowed, secret, services: readers } = variable;
  const value = variable.default === undefined ? '' : `\`${Array.isArray(variable.default) ? variable.default.join(',') : String(variable.default)}\``;
  return [
    `\`${name}\``,
    allowed === undefined ? type : allowed.map((each) => `\`${each}\``).join(' '),
    value === '``' ? '' : value,
    secret === true ? `${variable.description} Secret.` : variable.description,
    readers === 'all' ? 'all' : readers.join(', '),
  ];
}
