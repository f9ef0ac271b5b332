/**
 * The operation table that the pipeline runs, and the interface that a service's `api/index.ts` has to satisfy: a
 * missing handler, an undeclared status or a body of another shape does not compile.
 */
import type { Bundles } from './bundle.ts';
import { aliasOf, declaredStatuses, isJson, isPlanned, listOperations, type OpenApiDocument, type OperationView } from './openapi.ts';
import { type GeneratedFiles, pascalCase, type ServiceName, services, typescriptHeader } from './paths.ts';

const EVENT_STREAM = 'text/event-stream';
const JSON_LINES = 'application/x-ndjson';

export function generateHandlers(bundles: Bundles): GeneratedFiles {
  return new Map(services.map((service) => [`generated/handlers/${service}.ts`, handlersModule(service, bundles[service])]));
}

function handlersModule(service: ServiceName, document: OpenApiDocument): string {
  const operations = listOperations(document);
  const rows = operations.map(operationRow).join('\n');
  const members = operations
    .filter((operation) => aliasOf(operation) === null && !isPlanned(operation))
    .sort((a, b) => (a.operationId < b.operationId ? -1 : 1))
    .map(handlerMember)
    .join('\n');
  const shorthands = SHORTHANDS.filter(({ name }) => new RegExp(`\\b${name}\\b`).test(members)).map(({ text }) => text);
  const body = `${shorthands.join('\n')}${members}`;
  const used = VOCABULARY.filter((name) => name === 'OperationRow' || new RegExp(`\\b${name}\\b`).test(body));
  return `${typescriptHeader()}
import type { ${used.join(', ')} } from '../../services/platform/http/operation-types.ts';
import type { operations as Operations } from '../types/${service}.ts';
import { validators } from '../validators/${service}.js';

${shorthands.join('\n\n')}

/** Every operation of the service, aliases and planned ones included. */
export const operations: readonly OperationRow[] = [
${rows}
];

/** One member per operation that this release must serve. */
export interface ${pascalCase(service)}Handlers {
${members}
}
`;
}

const VOCABULARY = ['Handler', 'HandlerRequest', 'JsonResult', 'LinesResult', 'OperationRow', 'StreamResult', 'TextResult'];

/** Local types that keep each member of the interface on a screen. */
const SHORTHANDS = [
  { name: 'None', text: 'type None = Record<string, never>;' },
  { name: 'Path', text: "type Path<Id extends keyof Operations> = Operations[Id]['parameters']['path'];" },
  { name: 'Query', text: "type Query<Id extends keyof Operations> = NonNullable<Operations[Id]['parameters']['query']>;" },
  {
    name: 'WithDefaults',
    text: `/** Members with a default are always there: the validator fills them in. */
type WithDefaults<Members, Names extends keyof Members> = Omit<Members, Names> & { [Name in Names]-?: Exclude<Members[Name], undefined> };`,
  },
  {
    name: 'Body',
    text: "type Body<Id extends keyof Operations> = NonNullable<Operations[Id]['requestBody']> extends { content: { 'application/json': infer Content } } ? Content : never;",
  },
  {
    name: 'Answer',
    text: `type Answer<Id extends keyof Operations, Status extends number> = Operations[Id]['responses'] extends { [Code in Status]: { content: { 'application/json': infer Content } } }
  ? JsonResult<Status, Content>
  : never;`,
  },
];

function operationRow(operation: OperationView): string {
  const { node } = operation;
  const row: Record<string, unknown> = {
    operationId: operation.operationId,
    handledBy: aliasOf(operation) ?? operation.operationId,
    method: operation.method.toUpperCase(),
    path: operation.path,
    scopes: node['x-agentos-scopes'] ?? [],
    tenancy: node['x-agentos-tenancy'],
    idempotency: node['x-agentos-idempotency'],
    rateLimit: node['x-agentos-rate-limit'],
    hot: node['x-agentos-hot'] === true,
    planned: isPlanned(operation),
    body: operation.requestBody === null ? null : bodyRow(operation.requestBody),
    ...(node['x-agentos-slashed'] === undefined ? {} : { slashed: true }),
    streams: successContentTypes(operation).includes(EVENT_STREAM),
    errorShape: node['x-agentos-error-shape'] ?? 'agentos',
    produces: produces(operation),
    statuses: declaredStatuses(operation),
  };
  const members = Object.entries(row).map(([name, value]) => `    ${name}: ${literal(value)},`);
  return `  {\n${members.join('\n')}\n    ...validators.${operation.operationId},\n  },`;
}

function bodyRow(body: NonNullable<OperationView['requestBody']>): object {
  return { required: body.required === true, contentTypes: Object.keys(body.content) };
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'string') return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value).map(([name, member]) => `${name}: ${literal(member)}`).join(', ')} }`;
  }
  return String(value);
}

function successContentTypes(operation: OperationView): string[] {
  const types = successResponses(operation).flatMap(([, response]) => Object.keys(response.content ?? {}));
  return [...new Set(types)];
}

/** JSON where the operation can answer in JSON, else the one type it declares. */
function produces(operation: OperationView): string {
  const types = successContentTypes(operation);
  return types.find(isJson) ?? types[0] ?? 'application/json';
}

function successResponses(operation: OperationView): OperationView['responses'] {
  return operation.responses.filter(([status]) => status.startsWith('2'));
}

/** What a handler may return: the declared successes, and 503 where it is an answer of its own kind (readiness). */
function handlerMember(operation: OperationView): string {
  const id = operation.operationId;
  const results: string[] = [];
  for (const [status, response] of operation.responses) {
    if (!status.startsWith('2') && !answersReadiness(operation, status)) continue;
    results.push(...resultTypes(id, status, Object.keys(response.content ?? {})));
  }
  const union = results.length === 0 ? 'never' : [...new Set(results)].join(' | ');
  const request = `HandlerRequest<${pathType(operation)}, ${queryType(operation)}, ${bodyType(operation)}>`;
  const summary = operation.node.summary === undefined ? '' : `: ${operation.node.summary}`;
  return `  /** ${operation.method.toUpperCase()} ${operation.path}${summary}. */\n  ${id}: Handler<${request}, ${union}>;`;
}

/** A 503 that is not the error model is a state the handler itself reports. */
function answersReadiness(operation: OperationView, status: string): boolean {
  if (status !== '503') return false;
  const response = operation.responses.find(([declared]) => declared === status)?.[1];
  return Object.values(response?.content ?? {}).some((media) => !/\/(ErrorResponse|OpenaiError)"/.test(JSON.stringify(media.schema ?? {})));
}

function resultTypes(id: string, status: string, contentTypes: readonly string[]): string[] {
  if (contentTypes.length === 0) return [`JsonResult<${status}, null>`];
  return contentTypes.map((contentType) => {
    if (contentType === EVENT_STREAM) return 'StreamResult';
    if (contentType === JSON_LINES) return 'LinesResult';
    return isJson(contentType) ? `Answer<'${id}', ${status}>` : 'TextResult';
  });
}

function pathType(operation: OperationView): string {
  return operation.parameters.some((parameter) => parameter.in === 'path') ? `Path<'${operation.operationId}'>` : 'None';
}

function queryType(operation: OperationView): string {
  const query = operation.parameters.filter((parameter) => parameter.in === 'query');
  if (query.length === 0) return 'None';
  const withDefault = query.filter((parameter) => parameter.schema !== undefined && 'default' in parameter.schema && parameter.required !== true);
  const plain = `Query<'${operation.operationId}'>`;
  if (withDefault.length === 0) return plain;
  return `WithDefaults<${plain}, ${withDefault.map((parameter) => `'${parameter.name}'`).sort().join(' | ')}>`;
}

function bodyType(operation: OperationView): string {
  const body = operation.requestBody;
  if (body === null || !Object.keys(body.content).some(isJson)) return 'undefined';
  return body.required === true ? `Body<'${operation.operationId}'>` : `Body<'${operation.operationId}'> | undefined`;
}
