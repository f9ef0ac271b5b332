/** What is asked of one operation, by whom, so that a leak would show. */
import type { Asked } from './node.ts';
import type { Operation } from './operations.ts';
import type { Holdings } from './tenants.ts';

/** Parameters that name nothing of a tenant's. */
const NEUTRAL = new Set(['limit', 'order', 'status', 'state', 'priority', 'label', 'created_after', 'created_before', 'after_sequence', 'from_sequence', 'from', 'to', 'decision', 'outcome', 'action', 'service', 'model', 'confirm', 'grace_hours', 'resource_type', 'prefix']);
/** What the whole node has in common. */
const SHARED: Holdings = { canary_name: 'absent', model_id: 'absent' };
/** Parameters that hold an identifier under another name; `after` may hold any. */
const HOLDS: Readonly<Record<string, readonly string[]>> = {
  parent_run_id: ['run_id'],
  resource_id: ['run_id', 'agent_id'],
  after: ['run_id', 'agent_id', 'key', 'namespace', 'webhook_id', 'policy_id', 'key_id', 'principal_id', 'tenant_id', 'request_id'],
};

/** The same request twice: once for what the other tenant has, once for what nobody has. */
export interface ProbePair {
  readonly what: string;
  readonly foreign: Omit<Asked, 'headers'>;
  readonly absent: Omit<Asked, 'headers'>;
}

/** The parameters of an operation that nobody here knows how to fill; none when it is covered. */
export function unknownParameters(operation: Operation, holdings: Holdings): readonly string[] {
  const known = (name: string): boolean => name in holdings || name in SHARED;
  return [...operation.pathParameters.filter((name) => !known(name)), ...operation.queryParameters.filter((name) => !known(name) && !(name in HOLDS) && !NEUTRAL.has(name))];
}

export function probesOf(operation: Operation, holdings: Holdings, absent: Holdings): readonly ProbePair[] {
  const pair = (what: string, query: (ids: Holdings) => string): ProbePair => ({
    what,
    foreign: requestOf(operation, holdings, query(holdings)),
    absent: requestOf(operation, absent, query(absent)),
  });
  const queries = operation.queryParameters.filter((name) => !NEUTRAL.has(name)).flatMap((parameter) => (HOLDS[parameter] ?? [parameter]).map((name) => [parameter, name] as const));
  return [
    pair('asked for', () => ''),
    ...queries.map(([parameter, name]) => pair(`${parameter} naming its ${name}`, (ids) => `?${parameter}=${encodeURIComponent(ids[name]!)}`)),
  ];
}

export function requestOf(operation: Operation, ids: Holdings, query = ''): Omit<Asked, 'headers'> {
  const path = operation.path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(ids[name] ?? SHARED[name] ?? 'absent'));
  const { service, method, body } = operation;
  return { service, method, path: `${path}${query}`, ...(body === null ? {} : { body: withIds(body, ids) }) };
}

/** The contract's example, with these identifiers wherever it has one of theirs. */
function withIds(value: unknown, ids: Holdings): unknown {
  if (Array.isArray(value)) return value.map((item) => withIds(item, ids));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => {
    // Two requests under one key would be one request.
    if (name === 'idempotency_key') return [name, `idem_${ids['run_id']}_${Math.random().toString(36).slice(2)}`];
    return [name, typeof member === 'string' && name in ids ? ids[name] : withIds(member, ids)];
  }));
}

/** What only reads comes first, what makes something last: a thing made under the other's identifier must not be taken for the other's. */
export function inSafeOrder(operations: readonly Operation[]): readonly Operation[] {
  const rank = ({ method, path }: Operation): number => (method === 'GET' ? 0 : method === 'DELETE' ? 1 : method === 'POST' && path.includes('{') ? 2 : method === 'PATCH' ? 3 : method === 'POST' ? 4 : 5);
  return [...operations].sort((a, b) => rank(a) - rank(b));
}
