/** Requests to one operation that fit the contract: each is the operation's own example with ids that exist, or drawn from its schemas. */
import fc from 'fast-check';
import { dereference, type OpenApiDocument, type OperationView } from '../../../scripts/contract/openapi.ts';
import type { SchemaLibrary } from '../../../scripts/contract/schema-library.ts';
import type { WireRequest } from '../../harness/raw-http.ts';
import { PROTO_PLACEHOLDER } from './fault.ts';
import type { ParametersJudge } from './parameters.ts';
import { arbitraryOf, type KnownValues } from './schema-arbitrary.ts';

/** A value on its way into a path or query: percent-encoded already. */
export interface RawMember {
  readonly name: string;
  readonly raw: string;
}

export interface FuzzRequest {
  readonly method: string;
  readonly template: string;
  readonly path: readonly RawMember[];
  readonly query: readonly RawMember[];
  /** Names that the operation declares. */
  readonly queryNames: readonly string[];
  readonly headers: ReadonlyArray<readonly [string, string]>;
  /** undefined: none. */
  readonly body: unknown;
  /** In place of the body. */
  readonly bytes?: string | Buffer;
}

export interface Aim {
  readonly document: OpenApiDocument;
  readonly operation: OperationView;
  readonly known: KnownValues;
  readonly demanded: KnownValues;
  /** Who calls. */
  readonly headers: ReadonlyArray<readonly [string, string]>;
  /** Whether path and query fit the contract. */
  readonly fitsParameters: ParametersJudge;
  /** What the pipeline says of a body. */
  readonly isBody: (body: unknown) => boolean;
}

/** The requests of the contract's examples, with ids of what stands on the node in the place of theirs, in queries too. */
export function exampleRequests(aim: Aim): FuzzRequest[] {
  const path = parametersOf(aim, 'path').map(({ name, example }) => ({ name, raw: encodeURIComponent(String(aim.known[name]?.[0] ?? example)) }));
  const bodies = Object.values(aim.operation.requestBody?.content['application/json']?.examples ?? {}).map((example) => dereference<{ readonly value?: unknown }>(aim.document, example).value);
  const query = parametersOf(aim, 'query').flatMap(({ name }) => asQuery(name, aim.demanded[name]?.[0] ?? aim.known[name]?.[0]));
  const base = requestOf(aim, path, query, []);
  return (bodies.length === 0 ? [undefined] : bodies).map((body) => ({ ...base, ...withBody(base.headers, withKnown(body, aim.known)) }));
}

export function validRequests(aim: Aim): fc.Arbitrary<FuzzRequest> {
  const path = fc.tuple(...parametersOf(aim, 'path').map((parameter) => values(aim, parameter).filter((value) => !['', '.', '..'].includes(String(value))).map((value) => ({ name: parameter.name, raw: encodeURIComponent(String(value)) }))));
  const query = fc.tuple(...parametersOf(aim, 'query').map((parameter) => fc.option(values(aim, parameter), { freq: 3, nil: undefined }).map((value) => asQuery(parameter.name, value))));
  const idempotency = fc.option(fc.string({ unit: fc.constantFrom(...'abcdef0123456789'), minLength: 1, maxLength: 8 }), { freq: 2, nil: undefined });
  const drawn = fc.tuple(path, query, idempotency, bodies(aim)).map(([ids, members, key, body]) => {
    const request = requestOf(aim, ids, members.flat(), key === undefined || aim.operation.method === 'get' ? [] : [['Idempotency-Key', key]]);
    return { ...request, ...withBody(request.headers, body) };
  }).filter(aim.fitsParameters);
  return fc.oneof({ weight: 1, arbitrary: fc.constantFrom(...exampleRequests(aim)) }, { weight: 4, arbitrary: drawn });
}

function bodies(aim: Aim): fc.Arbitrary<unknown> {
  const body = aim.operation.requestBody;
  const schema = body?.content['application/json']?.schema;
  if (body === null || schema === undefined) return fc.constant(undefined);
  const library = (aim.document.components?.schemas ?? {}) as SchemaLibrary;
  const drawn = arbitraryOf(schema, library, aim.known, '', aim.demanded).filter((value) => aim.isBody(structuredClone(value)));
  return body.required === true ? drawn : fc.option(drawn, { freq: 4, nil: undefined });
}

interface ParameterRow {
  readonly name: string;
  readonly schema: unknown;
  readonly example: unknown;
}

function parametersOf({ operation }: Aim, where: 'path' | 'query'): ParameterRow[] {
  const rows = operation.parameters.filter((parameter) => parameter.in === where);
  const order = (name: string): number => operation.path.indexOf(`{${name}}`);
  return rows.map((parameter) => ({ name: parameter.name, schema: parameter.schema ?? {}, example: (parameter as { readonly example?: unknown }).example })).sort((a, b) => order(a.name) - order(b.name));
}

function values({ document, known, demanded }: Aim, { name, schema }: ParameterRow): fc.Arbitrary<unknown> {
  return arbitraryOf(schema, (document.components?.schemas ?? {}) as SchemaLibrary, known, name, demanded);
}

function asQuery(name: string, value: unknown): RawMember[] {
  if (value === undefined) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((each) => ({ name, raw: encodeURIComponent(String(each)) }));
}

function requestOf({ operation, headers }: Aim, path: readonly RawMember[], query: readonly RawMember[], more: FuzzRequest['headers']): FuzzRequest {
  const queryNames = operation.parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name);
  return { method: operation.method.toUpperCase(), template: operation.path, path, query, queryNames, headers: [...headers, ...more], body: undefined };
}

function withBody(headers: FuzzRequest['headers'], body: unknown): Pick<FuzzRequest, 'headers' | 'body'> {
  return { headers: body === undefined ? headers : [...headers, ['Content-Type', 'application/json']], body };
}

/** The example with every member whose name is known replaced, so that it speaks of what stands on this node. */
function withKnown(value: unknown, known: KnownValues): unknown {
  if (Array.isArray(value)) return value.map((item) => withKnown(item, known));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, typeof member === 'string' && known[name] !== undefined ? known[name][0] : withKnown(member, known)]));
}

export function toWire(request: FuzzRequest): WireRequest {
  const path = request.template.replaceAll(/\{([^}]+)\}/g, (_, name: string) => request.path.find((member) => member.name === name)?.raw ?? 'absent');
  const query = request.query.map(({ name, raw }) => `${name}=${raw}`).join('&');
  const body = request.bytes ?? (request.body === undefined ? undefined : bodyText(request.body));
  return { method: request.method, path: query === '' ? path : `${path}?${query}`, headers: request.headers, ...(body === undefined ? {} : { body }) };
}

function bodyText(body: unknown): string {
  return JSON.stringify(body).replaceAll(PROTO_PLACEHOLDER, '__proto__');
}
