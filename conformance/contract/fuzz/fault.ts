/** One thing changed about a request that fits the contract: in its body, its path, its query, its headers, or its bytes. */
import fc from 'fast-check';
import { mutate } from '../../../scripts/contract/golden.ts';
import type { FuzzRequest } from './request-arbitrary.ts';

export type Fault = (request: FuzzRequest) => FuzzRequest;

const ODD_VALUES: readonly unknown[] = [
  null, true, 0, -1, 0.5, 1e308, -1e308, 9_007_199_254_740_992, 2_147_483_648, '', ' ', 'x', '\u0000', 'a\u0000b', '\ud800', '\u202e\ufeff', '\u{1f600}'.repeat(300), 'x'.repeat(257), 'x'.repeat(5_000),
  "' OR 1=1 --", '../../etc/passwd', '${jndi:ldap://x}', '2025-02-30T25:61:61Z', [], {}, [null], [[[]]], { a: { b: { c: 1 } } }, Array.from({ length: 1_000 }, (_, index) => index),
];

const ODD_NAMES = ['unheard_of', '', '__proto__', 'constructor', 'tenant_id', 'a/b~c', '\u0000', 'x'.repeat(300)];

const ODD_IDS = ['%zz', '%ff%fe', 'x_%00', '..%2f..%2fetc', '%2e%2e', 'x%0d%0aX-Injected:%20yes', 'x'.repeat(300), 'x'.repeat(15_000), '%27%20OR%201=1', '%F0%9F%98%80', '%3A', 'run_%20', '%7B%7D', '-', '%5c'];

const ODD_QUERY = ['', '-1', '0', '1e30', 'NaN', 'null', '%zz', '%00', '%ff', 'x'.repeat(5_000), '9007199254740993', '2025-02-30T25:61:61Z', '%27;--', '%F0%9F%98%80', 'true'];

const ODD_HEADERS: ReadonlyArray<readonly [string, string]> = [
  ['Idempotency-Key', ''], ['Idempotency-Key', 'k'.repeat(257)], ['Idempotency-Key', '\u00e4\u00f6'], ['X-Correlation-Id', 'c'.repeat(300)], ['X-Correlation-Id', '<script>'], ['X-Request-Id', ' '],
  ['traceparent', '00-00000000000000000000000000000000-0000000000000000-01'], ['traceparent', 'x'.repeat(2_000)], ['Accept', 'text/html'], ['Accept', 'text/event-stream'], ['Last-Event-ID', '-1'], ['Last-Event-ID', '1e30'],
  ['X-Tenant-Id', 'tnt_other'], ['X-Tenant-Id', ''], ['X-Tenant-Id', 't'.repeat(300)], ['X-Scopes', ''], ['X-Scopes', '*'], ['X-Scopes', 's'.repeat(5_000)], ['X-Principal-Id', 'p'.repeat(300)], ['X-Principal-Id', '\u00ff'],
  ['Authorization', 'Bearer x.y.z'], ['Authorization', 'Bearer aos_live_x'], ['Authorization', 'Basic eA=='], ['X-API-Key', 'aos_live_00000000000000000000000000_x'], ['X-API-Key', ''],
  ['Range', 'bytes=0-1'], ['If-None-Match', '*'], ['Expect', '100-continue'], ['Content-Length', '5'], ['X-Forwarded-For', '::1, nonsense'], ['Cookie', 'a=b'], ['Host', 'elsewhere.example'],
];

const ODD_TYPES = ['text/plain', '', 'application/json; charset=latin1', 'application/json;charset="utf-8"', 'application/x-www-form-urlencoded', 'APPLICATION/JSON', 'application/json, text/plain', 'multipart/form-data; boundary=x'];

/** Faults that the request can have; a request without a body has none of those of a body. */
export function faultsFor(request: FuzzRequest): fc.Arbitrary<Fault> {
  // Bytes that are announced and never come are waited for where a body may come: that is the business of slow clients.
  const waits = request.method !== 'GET' && (request.body === undefined ? '' : JSON.stringify(request.body)).length < 5;
  const headers = waits ? ODD_HEADERS.filter(([name]) => name !== 'Content-Length') : ODD_HEADERS;
  const faults: Array<fc.WeightedArbitrary<Fault>> = [
    { weight: 2, arbitrary: fc.constantFrom(...headers).map((header): Fault => (to) => ({ ...to, headers: replaced(to.headers, header) })) },
    { weight: 1, arbitrary: fc.constantFrom('Authorization', 'X-Tenant-Id', 'Content-Type').map((name): Fault => (to) => ({ ...to, headers: [...to.headers, [name, 'twice'], [name, 'twice']] })) },
    { weight: 2, arbitrary: queryFault(request) },
  ];
  if (request.path.length > 0) {
    const pathFault = fc.tuple(fc.nat(request.path.length - 1), fc.constantFrom(...ODD_IDS));
    faults.push({ weight: 3, arbitrary: pathFault.map(([at, raw]): Fault => (to) => ({ ...to, path: to.path.map((member, index) => (index === at ? { ...member, raw } : member)) })) });
  }
  if (request.body !== undefined) faults.push({ weight: 8, arbitrary: memberFault(request.body) }, { weight: 3, arbitrary: bytesFault() }, { weight: 1, arbitrary: fc.constantFrom(...ODD_TYPES).map((type): Fault => (to) => ({ ...to, headers: replaced(to.headers, ['Content-Type', type]) })) });
  else faults.push({ weight: 1, arbitrary: fc.constantFrom('{', 'x'.repeat(300_000), '{"a":1}').map((bytes): Fault => (to) => ({ ...to, bytes, headers: replaced(to.headers, ['Content-Type', 'application/json']) })) });
  return fc.oneof(...faults);
}

function replaced(headers: FuzzRequest['headers'], header: readonly [string, string]): FuzzRequest['headers'] {
  return [...headers.filter(([name]) => name.toLowerCase() !== header[0].toLowerCase()), header];
}

function queryFault(request: FuzzRequest): fc.Arbitrary<Fault> {
  const names = ['unheard_of', '__proto__', '%zz', ...request.queryNames, ...request.queryNames];
  return fc.tuple(fc.constantFrom(...names), fc.constantFrom(...ODD_QUERY), fc.boolean()).map(([name, raw, twice]): Fault => (to) => ({
    ...to,
    query: [...to.query.filter((member) => twice || member.name !== name), { name, raw }],
  }));
}

/** Any member or item of the body, at any depth, taken out, replaced by something odd, or given a neighbour nobody knows. */
function memberFault(body: unknown): fc.Arbitrary<Fault> {
  const places = [...pointersOf(body, '')];
  const changed = fc.tuple(fc.constantFrom(...places), fc.constantFrom('remove', 'set', 'add'), fc.constantFrom(...ODD_VALUES), fc.constantFrom(...ODD_NAMES));
  return changed.map(([path, op, value, name]): Fault => (to) => {
    if (op === 'remove' && path !== '') return { ...to, body: mutate(to.body, { op: 'remove', path }) };
    const at = op === 'add' ? `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` : path;
    return { ...to, body: changedAt(to.body, at, value) };
  });
}

/** As text, so that a name such as `__proto__` arrives as a member and changes no object of ours. */
function changedAt(body: unknown, path: string, value: unknown): unknown {
  try {
    return mutate(body, { op: 'set', path: path.replace(/\/__proto__$/, `/${PROTO_PLACEHOLDER}`), value });
  } catch {
    // The place is no object, so nothing can stand beside it; the odd value takes its place.
    return mutate(body, { op: 'set', path: path.slice(0, path.lastIndexOf('/')), value });
  }
}

/** Written as `__proto__` when the body becomes text. */
export const PROTO_PLACEHOLDER = 'fuzz-proto-placeholder';

function* pointersOf(value: unknown, path: string): Generator<string> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) yield* pointersOf(member, `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
}

function bytesFault(): fc.Arbitrary<Fault> {
  const change = (edit: (text: string) => string | Buffer): Fault => (to) => ({ ...to, bytes: edit(JSON.stringify(to.body)) });
  const encoded = (encoding: string, edit: (text: string) => string | Buffer): Fault => (to) => ({ ...change(edit)(to), headers: replaced(to.headers, ['Content-Encoding', encoding]) });
  return fc.oneof(
    fc.nat(200).map((at) => change((text) => text.slice(0, Math.min(at, Math.max(0, text.length - 1))))),
    fc.constantFrom(
      change(() => ''), change(() => 'null'), change(() => '[]'), change(() => '7'), change(() => '"text"'), change(() => 'NaN'), change((text) => `${text}${text}`), change((text) => `\ufeff${text}`),
      change((text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xff, 0xfe]), Buffer.from('}')])),
      change((text) => `{"a":${'['.repeat(80)}${']'.repeat(80)},${text.slice(1)}`), change((text) => `{"a":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)},${text.slice(1)}`),
      change((text) => `{"a":"${'x'.repeat(300_000)}",${text.slice(1)}`), change((text) => text.replace('{', '{"__proto__":{"x":1},')), change((text) => text.replaceAll('"', "'")),
      encoded('gzip', (text) => text), encoded('br', (text) => text), encoded('gzip, gzip', (text) => text), encoded('identity', (text) => text),
    ),
  );
}
