/**
 * From a request target to an operation, by the contract's own path templates.
 *
 * Templates may end in a verb after a colon (`/v1/runs/{run_id}:cancel`, `/v1/models:invoke`); callers may write the
 * colon as `%3A`. One trailing slash is ignored. What cannot be an identifier (NUL, line breaks, a slash in
 * disguise unless the contract lets one in, more than 256 characters) is answered as a path that does not exist; what
 * is not percent-encoding at all is a bad request.
 */
import { AgentOsError } from '../errors.ts';
import type { OperationRow } from './operation-types.ts';

export interface RouteMatch {
  readonly row: OperationRow;
  /** Decoded path parameters. */
  readonly path: Record<string, string>;
  /** The part after `?`, undecoded. */
  readonly search: string;
}

export interface Router {
  /** @throws AgentOsError not_found, method_not_allowed (details.allow), invalid_request (percent escapes). */
  match(method: string, target: string): RouteMatch;
}

const MAX_IDENTIFIER = 256;
const MAX_TARGET = 8192;
// Control characters and the two that separate path segments: no identifier has them.
// eslint-disable-next-line no-control-regex
const IMPOSSIBLE_IN_IDENTIFIER = /[\u0000-\u001f\u007f/\\]/;
// eslint-disable-next-line no-control-regex
const IMPOSSIBLE_WITH_SLASHES = /[\u0000-\u001f\u007f\\]/;

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | null;
  /** Under the parameter, by verb; '' is the plain parameter. */
  readonly verbs: Map<string, Leaf>;
  leaf: Leaf | null;
}

interface Leaf {
  readonly names: readonly string[];
  readonly byMethod: Map<string, OperationRow>;
  /** The last parameter may hold slashes, percent-encoded (`x-agentos-slashed`). */
  slashed: boolean;
}

export function createRouter(rows: readonly OperationRow[]): Router {
  const root = newNode();
  for (const row of rows) insert(root, row);
  const plain = new Map(rows.filter((row) => !row.path.includes('{')).map((row) => [`${row.method} ${row.path}`, row]));
  return {
    match(method, target) {
      // A path without parameters, as it is written in the contract, needs no walk.
      const known = plain.get(`${method} ${target}`);
      if (known !== undefined) return { row: known, path: {}, search: '' };
      const question = target.indexOf('?');
      const pathname = question === -1 ? target : target.slice(0, question);
      const { leaf, values } = lookup(root, pathname);
      const row = leaf.byMethod.get(method) ?? (method === 'HEAD' ? headOf(leaf) : undefined);
      if (row === undefined) throw methodNotAllowed(method, pathname, leaf);
      const path: Record<string, string> = {};
      for (const [index, name] of leaf.names.entries()) path[name] = values[index]!;
      return { row, path, search: question === -1 ? '' : target.slice(question + 1) };
    },
  };
}

/** HEAD is GET without its body; a stream has no length to report, so it has no HEAD. */
function headOf(leaf: Leaf): OperationRow | undefined {
  const row = leaf.byMethod.get('GET');
  return row?.streams ? undefined : row;
}

function newNode(): Node {
  return { literals: new Map(), parameter: null, verbs: new Map(), leaf: null };
}

function insert(root: Node, row: OperationRow): void {
  const names: string[] = [];
  const segments = row.path.slice(1).split('/');
  let node = root;
  for (const [index, segment] of segments.entries()) {
    const parameter = /^\{([^}]+)\}(?::(.+))?$/.exec(segment);
    const last = index === segments.length - 1;
    if (parameter === null) {
      let next = node.literals.get(segment);
      if (next === undefined) node.literals.set(segment, (next = newNode()));
      node = next;
      if (last) node.leaf = addTo(node.leaf, names, row);
      continue;
    }
    names.push(parameter[1]!);
    node.parameter ??= newNode();
    node = node.parameter;
    if (last) {
      const verb = parameter[2] ?? '';
      node.verbs.set(verb, addTo(node.verbs.get(verb) ?? null, names, row));
    } else if (parameter[2] !== undefined) {
      throw new Error(`Path ${row.path}: a verb may only end a path.`);
    }
  }
}

function addTo(leaf: Leaf | null, names: readonly string[], row: OperationRow): Leaf {
  const target = leaf ?? { names: [...names], byMethod: new Map<string, OperationRow>(), slashed: false };
  if (target.byMethod.has(row.method)) throw new Error(`Two operations share ${row.method} ${row.path}.`);
  if (target.names.join() !== names.join()) throw new Error(`Path ${row.path} names its parameters unlike its sibling (${target.names.join()}).`);
  target.byMethod.set(row.method, row);
  target.slashed ||= row.slashed === true;
  return target;
}

function lookup(root: Node, pathname: string): { leaf: Leaf; values: string[] } {
  if (pathname.length > MAX_TARGET || !pathname.startsWith('/')) throw notFound();
  const segments = pathname.slice(1).split('/');
  if (segments.length > 1 && segments.at(-1) === '') segments.pop();
  const values: string[] = [];
  let node = root;
  for (const [index, raw] of segments.entries()) {
    const last = index === segments.length - 1;
    const segment = raw.includes('%') ? decode(raw) : raw;
    const literal = node.literals.get(segment);
    if (literal !== undefined) {
      if (!last) {
        node = literal;
        continue;
      }
      if (literal.leaf !== null) return { leaf: literal.leaf, values };
    }
    if (node.parameter === null) throw notFound();
    node = node.parameter;
    if (last) return endInParameter(node, segment, values);
    values.push(identifier(segment));
  }
  throw notFound();
}

function endInParameter(node: Node, segment: string, values: string[]): { leaf: Leaf; values: string[] } {
  // Where no template ends in a verb, a colon belongs to the identifier, as in a key of memory.
  const colon = node.verbs.size === 1 && node.verbs.has('') ? -1 : segment.lastIndexOf(':');
  const leaf = node.verbs.get(colon === -1 ? '' : segment.slice(colon + 1));
  if (leaf === undefined || colon === segment.length - 1) throw notFound();
  values.push(identifier(colon === -1 ? segment : segment.slice(0, colon), leaf.slashed ? IMPOSSIBLE_WITH_SLASHES : IMPOSSIBLE_IN_IDENTIFIER));
  return { leaf, values };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new AgentOsError('invalid_request', {
      message: 'The path contains a percent escape that is not UTF-8. Encode each segment with encodeURIComponent.',
      details: { errors: [{ path: '', message: 'bad percent escape in the path' }] },
    });
  }
}

function identifier(value: string, impossible = IMPOSSIBLE_IN_IDENTIFIER): string {
  if (value === '' || value === '.' || value === '..' || value.length > MAX_IDENTIFIER || impossible.test(value)) throw notFound();
  return value;
}

function notFound(): AgentOsError {
  return new AgentOsError('not_found', { message: 'There is no such path on this service.', details: {} });
}

function methodNotAllowed(method: string, pathname: string, leaf: Leaf): AgentOsError {
  const allow = [...leaf.byMethod.keys()];
  if (headOf(leaf) !== undefined) allow.push('HEAD');
  return new AgentOsError('method_not_allowed', {
    message: `${pathname} does not take ${method}; it takes ${allow.join(', ')}.`,
    details: { allow },
  });
}

/** Query members by name; without a prototype, because the names are the caller's. */
export type Query = Record<string, string | string[]>;

/**
 * Query members by name: a string, or strings where a name is repeated.
 * @throws AgentOsError invalid_request for bad percent escapes.
 */
export function parseQuery(search: string): Query {
  const query = Object.create(null) as Query;
  if (search === '') return query;
  for (const pair of search.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeQuery(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : decodeQuery(pair.slice(equals + 1));
    const present = query[name];
    if (present === undefined) query[name] = value;
    else if (Array.isArray(present)) present.push(value);
    else query[name] = [present, value];
  }
  return query;
}

function decodeQuery(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  const decoded = decodedOrNull(spaced);
  if (decoded === null) throw unreadable('The query contains a percent escape that is not UTF-8. Encode each value with encodeURIComponent.', 'bad percent escape in the query');
  // As in a body: no text that is stored holds it, so nothing can be found by it.
  if (decoded.includes('\0')) throw unreadable('The query contains the NUL character.', 'must not contain U+0000');
  return decoded;
}

function decodedOrNull(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function unreadable(message: string, fault: string): AgentOsError {
  return new AgentOsError('invalid_request', { message, details: { errors: [{ path: '', message: fault }] } });
}
