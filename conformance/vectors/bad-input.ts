/**
 * Bad input, as data: what is sent, and the status and code that must come back.
 *
 * Body faults apply to every operation that takes a JSON object and is built; each is tried on one operation that
 * enters the pipeline from node:http and one that goes through Express. Fields, paths and queries are per operation.
 */
import { gzipSync } from 'node:zlib';
import type { WireRequest } from '../harness/raw-http.ts';
import type { ServiceName } from '../harness/prism.ts';

export interface BadInput {
  readonly name: string;
  readonly service: ServiceName;
  /** The operation that is meant; `-` where the path belongs to none. */
  readonly operation: string;
  readonly request: WireRequest;
  readonly status: number;
  readonly code: string;
  /** Header that the answer must carry, and a pattern for it. */
  readonly header?: readonly [string, RegExp];
  /** The server must close the connection after its answer. */
  readonly closes?: boolean;
  /** Whose credential goes with it outside demo mode; `tenant` when absent. In demo mode the headers of the request are it. */
  readonly as?: 'tenant' | 'platform' | 'nobody';
  /** Where a mode that asks for credentials answers otherwise. */
  readonly withCredentials?: { readonly status: number; readonly code: string };
  /** In these modes alone; in all when absent. */
  readonly modes?: readonly ('demo' | 'dev' | 'prod')[];
}

/** A fault of a body, whatever the operation. */
export interface BodyFault {
  readonly name: string;
  readonly body: (valid: Readonly<Record<string, unknown>>) => string | Buffer;
  readonly status: number;
  readonly code: string;
  readonly headers?: ReadonlyArray<readonly [string, string]>;
}

export interface Target {
  readonly service: ServiceName;
  readonly operation: string;
  readonly path: string;
  readonly valid: Readonly<Record<string, unknown>>;
}

const TENANT = ['X-Tenant-Id', 'tnt_demo'] as const;
const JSON_TYPE = ['Content-Type', 'application/json'] as const;
const RUNS = '/v1/agents/agt_sample_echo_v1/runs';

export const bodyTargets: readonly Target[] = [
  { service: 'agent-orchestrator', operation: 'createRun', path: RUNS, valid: { input: 'hello' } },
  { service: 'agent-orchestrator', operation: 'createRunForAgent', path: '/v1/runs', valid: { agent_id: 'agt_sample_echo_v1', input: 'hello' } },
  { service: 'model-policy', operation: 'invokeModel', path: '/v1/models:invoke', valid: { request: { request_id: 'req_1', operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'hello' }] } } } },
  { service: 'model-policy', operation: 'policyCheck', path: '/v1/policy:check', valid: { policy_check: { content: { type: 'text', text: 'hello' } } } },
];

const nested = (depth: number, open: string, close: string): string => `{"input":"x","deep":${open.repeat(depth)}1${close.repeat(depth)}}`;
const withMember = (valid: object, member: string): string => `${JSON.stringify(valid).slice(0, -1)},${member}}`;

export const BODY_FAULTS: readonly BodyFault[] = [
  { name: 'truncated JSON', body: (valid) => JSON.stringify(valid).slice(0, -3), status: 400, code: 'invalid_json' },
  { name: 'nothing', body: () => '', status: 400, code: 'invalid_request' },
  { name: 'white space', body: () => '  \n ', status: 400, code: 'invalid_json' },
  { name: 'null', body: () => 'null', status: 400, code: 'invalid_request' },
  { name: 'a number', body: () => '42', status: 400, code: 'invalid_request' },
  { name: 'a text', body: () => '"hello"', status: 400, code: 'invalid_request' },
  { name: 'an array', body: (valid) => JSON.stringify([valid]), status: 400, code: 'invalid_request' },
  { name: 'NaN', body: () => '{"input": NaN}', status: 400, code: 'invalid_json' },
  { name: 'single quotes', body: () => "{'input': 'hello'}", status: 400, code: 'invalid_json' },
  { name: 'two objects', body: (valid) => JSON.stringify(valid).repeat(2), status: 400, code: 'invalid_json' },
  { name: 'a form', body: () => 'input=hello', status: 400, code: 'invalid_json' },
  { name: 'more than 256 KiB', body: (valid) => withMember(valid, `"padding":"${'x'.repeat(262_144)}"`), status: 413, code: 'invalid_request' },
  { name: 'a gzip bomb', body: (valid) => gzipSync(withMember(valid, `"padding":"${'x'.repeat(20_000_000)}"`)), headers: [['Content-Encoding', 'gzip']], status: 413, code: 'invalid_request' },
  { name: 'gzip that is none', body: (valid) => JSON.stringify(valid), headers: [['Content-Encoding', 'gzip']], status: 400, code: 'invalid_request' },
  { name: 'objects nested 100 deep', body: () => nested(100, '{"a":', '}'), status: 400, code: 'invalid_request' },
  { name: 'arrays nested 10,000 deep', body: () => nested(10_000, '[', ']'), status: 400, code: 'invalid_request' },
  { name: 'a NUL character', body: (valid) => withMember(valid, '"context":{"channel":"a\\u0000b"}'), status: 400, code: 'invalid_request' },
  { name: 'half of a surrogate pair', body: (valid) => withMember(valid, '"context":{"channel":"a\\ud800b"}'), status: 400, code: 'invalid_request' },
  { name: 'bytes that are no UTF-8', body: () => Buffer.from([...Buffer.from('{"input":"'), 0xc3, 0x28, 0xff, ...Buffer.from('"}')]), status: 400, code: 'invalid_json' },
  { name: '__proto__', body: (valid) => withMember(valid, '"__proto__":{"polluted":true}'), status: 400, code: 'invalid_request' },
  { name: 'constructor.prototype', body: (valid) => withMember(valid, '"context":{"constructor":{"prototype":{"polluted":true}}}'), status: 400, code: 'invalid_request' },
  { name: 'an escaped __proto__', body: (valid) => withMember(valid, '"\\u005f_proto__":{"polluted":true}'), status: 400, code: 'invalid_request' },
];

interface TypeFault {
  readonly name: string;
  readonly headers: ReadonlyArray<readonly [string, string]>;
}

export const TYPE_FAULTS: readonly TypeFault[] = [
  { name: 'no content type', headers: [] },
  { name: 'text/plain', headers: [['Content-Type', 'text/plain']] },
  { name: 'a form content type', headers: [['Content-Type', 'application/x-www-form-urlencoded']] },
  { name: 'an odd charset', headers: [['Content-Type', 'application/json; charset=utf-16']] },
  { name: 'an odd encoding', headers: [JSON_TYPE, ['Content-Encoding', 'br']] },
];

function ofBodies(): BadInput[] {
  return bodyTargets.flatMap(({ service, operation, path, valid }) => [
    ...BODY_FAULTS.map((fault): BadInput => ({
      name: `body: ${fault.name}`, service, operation, status: fault.status, code: fault.code,
      request: { method: 'POST', path, headers: [TENANT, JSON_TYPE, ...(fault.headers ?? [])], body: fault.body(valid) },
    })),
    ...TYPE_FAULTS.map((fault): BadInput => ({
      name: `type: ${fault.name}`, service, operation, status: 415, code: 'invalid_request',
      request: { method: 'POST', path, headers: [TENANT, ...fault.headers], body: JSON.stringify(valid) },
    })),
  ]);
}

function post(service: ServiceName, operation: string, path: string, name: string, body: unknown, status = 400, code = 'invalid_request', headers: ReadonlyArray<readonly [string, string]> = []): BadInput {
  return { name: `field: ${name}`, service, operation, status, code, request: { method: 'POST', path, headers: [TENANT, JSON_TYPE, ...headers], body: JSON.stringify(body) } };
}

function ofRunFields(): BadInput[] {
  const run = (name: string, members: Record<string, unknown>, headers?: ReadonlyArray<readonly [string, string]>) =>
    ['createRun', 'createRunForAgent'].map((operation) => post('agent-orchestrator', operation, operation === 'createRun' ? RUNS : '/v1/runs', name,
      operation === 'createRun' ? { input: 'hello', ...members } : { agent_id: 'agt_sample_echo_v1', input: 'hello', ...members }, 400, 'invalid_request', headers));
  return [
    ...run('input missing', { input: undefined }),
    ...run('input null', { input: null }),
    ...run('input a number', { input: 7 }),
    ...run('input empty', { input: '' }),
    ...run('input of an unknown type', { input: { type: 'hologram', text: 'x' } }),
    ...run('input without text', { input: { type: 'text' } }),
    ...run('timeout_ms 0', { run_options: { timeout_ms: 0 } }),
    ...run('timeout_ms negative', { run_options: { timeout_ms: -1 } }),
    ...run('timeout_ms 1e30', { run_options: { timeout_ms: 1e30 } }),
    ...run('timeout_ms a text', { run_options: { timeout_ms: '1000' } }),
    ...run('max_steps 1.5', { run_options: { max_steps: 1.5 } }),
    ...run('an unknown priority', { run_options: { priority: 'urgent' } }),
    ...run('dry_run a text', { run_options: { dry_run: 'yes' } }),
    ...run('labels of numbers', { context: { labels: { a: 1 } } }),
    ...run('an allow-list that is a text', { tooling: { tool_allowlist: 'tool.echo' } }),
    ...run('an allow-list of 10,000', { tooling: { tool_allowlist: Array.from({ length: 10_000 }, (_, i) => `tool.n${i}`) } }),
    ...run('an idempotency key of no characters', { idempotency_key: '' }),
    ...run('an idempotency key of 257 characters', { idempotency_key: 'k'.repeat(257) }),
    ...run('an idempotency key that is a number', { idempotency_key: 5 }),
    ...run('an Idempotency-Key header of 257 characters', {}, [['Idempotency-Key', 'k'.repeat(257)]]),
    ...run('an empty Idempotency-Key header', {}, [['Idempotency-Key', '']]),
    post('agent-orchestrator', 'createRunForAgent', '/v1/runs', 'agent_id missing', { input: 'hello' }),
  ];
}

function ofOtherFields(): BadInput[] {
  const invoke = (name: string, request: Record<string, unknown>): BadInput => post('model-policy', 'invokeModel', '/v1/models:invoke', name, { request });
  const chat = { request_id: 'req_1', operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'hello' }] } };
  const tenant = (name: string, body: Record<string, unknown>): BadInput => ({ ...post('agent-orchestrator', 'createTenant', '/v1/admin/tenants', name, body, 400, 'invalid_request', [['X-Scopes', 'tenants:admin']]), as: 'platform' });
  return [
    invoke('an unknown operation', { ...chat, operation: 'sing' }),
    invoke('no messages', { ...chat, input: { messages: [] } }),
    invoke('a chat without messages', { ...chat, input: { texts: ['x'] } }),
    invoke('an embedding without texts', { ...chat, operation: 'embed', input: { messages: [] } }),
    invoke('an unknown role', { ...chat, input: { messages: [{ role: 'emperor', content: 'x' }] } }),
    invoke('max_output_tokens 0', { ...chat, generation: { max_output_tokens: 0 } }),
    invoke('top_p 2', { ...chat, generation: { top_p: 2 } }),
    invoke('temperature a text', { ...chat, generation: { temperature: 'hot' } }),
    post('model-policy', 'policyCheck', '/v1/policy:check', 'no content', { policy_check: { request_id: 'req_1' } }),
    post('model-policy', 'policyCheckByPath', '/v1/policy/check', 'content a number', { policy_check: { content: { type: 'text', text: 5 } } }),
    tenant('no tenant_id', { tenant_create: { name: 'No id' } }),
    tenant('an unknown status', { tenant_id: 'tnt_x', name: 'X', status: 'asleep' }),
    tenant('negative quotas', { tenant_id: 'tnt_x', quotas: { runs: { max_concurrent_runs: -1 } } }),
    tenant('an unknown budget window', { tenant_id: 'tnt_x', quotas: { models: { token_budget: { window: 'fortnight', max_tokens: 5 } } } }),
  ];
}

function get(operation: string, path: string, name: string, status: number, code: string, headers: ReadonlyArray<readonly [string, string]> = []): BadInput {
  return { name, service: 'agent-orchestrator', operation, status, code, request: { method: 'GET', path, headers: [TENANT, ...headers] } };
}

function ofPaths(): BadInput[] {
  const ids: ReadonlyArray<readonly [string, string, number, string]> = [
    ['a bad percent escape', '%zz', 400, 'invalid_request'],
    ['a cut percent escape', 'run_%', 400, 'invalid_request'],
    ['an escape that is no UTF-8', '%ff%fe', 400, 'invalid_request'],
    ['a NUL', 'run_%00', 404, 'not_found'],
    ['a path in disguise', '..%2f..%2fetc%2fpasswd', 404, 'not_found'],
    ['a line break', 'run_%0d%0aX-Injected:%20yes', 404, 'not_found'],
    ['SQL', "run_'%20OR%20'1'='1", 404, 'not_found'],
    ['SQL with a comment', "run_1';DROP%20TABLE%20runs;--", 404, 'not_found'],
    ['an id that there is not', 'run_01JH9Y0Q2KQ4R7S7X6G0M3E4F8', 404, 'not_found'],
    ['one character', 'x', 404, 'not_found'],
    ['emoji', encodeURIComponent('🌦'), 404, 'not_found'],
  ];
  return [
    ...ids.flatMap(([name, id, status, code]) => [
      get('getRun', `/v1/runs/${id}`, `path: ${name}`, status, code),
      get('streamRunEvents', `/v1/runs/${id}/events`, `path: ${name}`, status, code, [['Accept', 'text/event-stream']]),
      get('getAgent', `/v1/agents/${id}`, `path: ${name}`, status, code),
    ]),
    get('getRun', `/v1/runs/${'r'.repeat(15_000)}`, 'path: an id of 15 KB', 404, 'not_found'),
    get('-', '/v1/nothing/here', 'path: unknown', 404, 'not_found'),
    get('-', '/', 'path: the root', 404, 'not_found'),
    get('-', '//v1/runs', 'path: a doubled slash', 404, 'not_found'),
    get('-', '/v1/agents/../admin/tenants', 'path: dots', 404, 'not_found'),
    get('getRun', '/v1/runs/run_x', 'accept: HTML still gets JSON', 404, 'not_found', [['Accept', 'text/html']]),
    { name: 'path: unknown verb', service: 'agent-orchestrator', operation: '-', status: 404, code: 'not_found', request: { method: 'POST', path: '/v1/runs/run_x:explode', headers: [TENANT] } },
    { name: 'cancel of a run that there is not', service: 'agent-orchestrator', operation: 'cancelRun', status: 404, code: 'not_found', request: { method: 'POST', path: '/v1/runs/run_absent:cancel', headers: [TENANT] } },
  ];
}

function ofQueries(): BadInput[] {
  const bad = ['-1', 'abc', '1e30', '1.5', '', '99999999999999999999'];
  return [
    ...bad.map((value) => get('listRuns', `/v1/runs?limit=${value}`, `query: limit=${value}`, 400, 'invalid_request')),
    get('listRuns', '/v1/runs?limit=0', 'query: limit=0', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?limit=1000000', 'query: a limit beyond the largest', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?limit=1&limit=2', 'query: limit twice', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?status=sleeping', 'query: an unknown status', 400, 'invalid_request'),
    get('listAgents', '/v1/agents?limit=abc', 'query: limit=abc', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?after=%zz', 'query: a bad percent escape', 400, 'invalid_request'),
    get('listRuns', `/v1/runs?after=${'x'.repeat(4_000)}`, 'query: a cursor of 4,000 characters', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?after=%00', 'query: a cursor that is NUL', 400, 'invalid_request'),
    get('listRuns', '/v1/runs?after=1&after=2', 'query: two cursors', 400, 'invalid_request'),
  ];
}

/** Cursors of an existing run's stream; the path is completed with the run's id. */
export const badCursors: readonly string[] = ['after_sequence=-1', 'after_sequence=abc', 'after_sequence=1e30', 'after_sequence=1.5', 'after_sequence=1&after_sequence=2', 'from_sequence=-1', 'from_sequence=x'];

function ofMethods(): BadInput[] {
  const wrong: ReadonlyArray<readonly [ServiceName, string, string, RegExp]> = [
    ['agent-orchestrator', 'DELETE', '/v1/runs', /GET/],
    ['agent-orchestrator', 'PUT', RUNS, /POST/],
    ['agent-orchestrator', 'GET', '/v1/runs/run_x:cancel', /POST/],
    ['agent-orchestrator', 'POST', '/v1/runs/run_x', /GET/],
    ['agent-orchestrator', 'POST', '/v1/health', /GET/],
    ['agent-orchestrator', 'POST', '/healthz', /GET/],
    ['model-policy', 'GET', '/v1/models:invoke', /POST/],
    ['model-policy', 'POST', '/v1/models', /GET/],
    ['federation', 'DELETE', '/v1/federation/peer', /GET/],
  ];
  return wrong.map(([service, method, path, allow]) => ({
    name: `method: ${method} ${path}`, service, operation: '-', status: 405, code: 'method_not_allowed', header: ['allow', allow],
    request: { method, path, headers: [TENANT] },
  }));
}

function ofHeaders(): BadInput[] {
  const runs = (name: string, headers: ReadonlyArray<readonly [string, string]>, status: number, code: string, closes = false): BadInput => ({
    name: `http: ${name}`, service: 'agent-orchestrator', operation: 'createRun', status, code, closes,
    request: { method: 'POST', path: RUNS, headers: [JSON_TYPE, ...headers], body: '{"input":"hello"}' },
  });
  return [
    runs('X-Tenant-Id twice', [TENANT, ['X-Tenant-Id', 'tnt_other']], 400, 'invalid_request'),
    runs('Authorization twice', [TENANT, ['Authorization', 'Bearer a'], ['Authorization', 'Bearer b']], 401, 'unauthorized'),
    runs('a tenant that is no identifier', [['X-Tenant-Id', "tnt'; DROP TABLE--"]], 400, 'invalid_request'),
    runs('a tenant of 300 characters', [['X-Tenant-Id', 't'.repeat(300)]], 400, 'invalid_request'),
    { ...runs('a tenant that there is not', [['X-Tenant-Id', 'tnt_absent']], 403, 'tenant_unknown'), withCredentials: { status: 400, code: 'tenant_mismatch' } },
    { ...runs("another tenant than the credential's", [['X-Tenant-Id', 'tnt_other']], 400, 'tenant_mismatch'), modes: ['dev', 'prod'] },
    { ...runs('tenant, principal and scopes in headers, and no credential', [TENANT, ['X-Principal-Id', 'usr_platform_admin'], ['X-Scopes', 'runs:create tenants:admin']], 401, 'unauthorized'), as: 'nobody', modes: ['dev', 'prod'] },
    { ...runs('no credential at all', [], 401, 'unauthorized'), as: 'nobody', modes: ['dev', 'prod'] },
    { ...runs('two kinds of credential', [['Authorization', 'Bearer x.y.z']], 401, 'unauthorized'), modes: ['dev', 'prod'] },
    { ...runs('another scheme', [['Authorization', 'Basic dXNlcjpwYXNz']], 401, 'unauthorized'), as: 'nobody', modes: ['dev', 'prod'] },
    { ...runs('a credential in the query', [], 401, 'unauthorized'), as: 'nobody', modes: ['dev', 'prod'], request: { method: 'GET', path: '/v1/runs?access_token=x&api_key=y', headers: [] }, operation: 'listRuns' },
    runs('a content type twice', [TENANT, JSON_TYPE], 400, 'invalid_request'),
    runs('chunked twice over', [TENANT, ['Transfer-Encoding', 'chunked'], ['Transfer-Encoding', 'identity']], 400, 'invalid_request', true),
    runs('17 KB of headers', [TENANT, ['X-Padding', 'x'.repeat(17_000)]], 431, 'invalid_request', true),
    runs('content length and transfer encoding', [TENANT, ['Content-Length', '17'], ['Transfer-Encoding', 'chunked']], 400, 'invalid_request', true),
    runs('two content lengths', [TENANT, ['Content-Length', '17'], ['Content-Length', '18']], 400, 'invalid_request', true),
    runs('a content length that is no number', [TENANT, ['Content-Length', 'many']], 400, 'invalid_request', true),
  ];
}

export const badInputs: readonly BadInput[] = [...ofBodies(), ...ofRunFields(), ...ofOtherFields(), ...ofPaths(), ...ofQueries(), ...ofMethods(), ...ofHeaders()];

/** Requests whose very syntax is broken; `HOST` is replaced by the server's address. */
export const malformedRequests: ReadonlyArray<{ readonly name: string; readonly bytes: string; readonly status: number }> = [
  { name: 'no Host', bytes: 'GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n', status: 400 },
  { name: 'a folded header', bytes: 'GET /v1/health HTTP/1.1\r\nHost: HOST\r\nX-A: one\r\n  two\r\nConnection: close\r\n\r\n', status: 400 },
  { name: 'a bare line feed', bytes: 'GET /v1/health HTTP/1.1\nHost: HOST\nConnection: close\n\n', status: 400 },
  { name: 'an unknown protocol', bytes: 'GET /v1/health HTTP/9.9\r\nHost: HOST\r\n\r\n', status: 400 },
  { name: 'no HTTP at all', bytes: '\u0016\u0003\u0001\u0002\u0000hello\r\n\r\n', status: 400 },
  { name: 'a header without a name', bytes: 'GET /v1/health HTTP/1.1\r\nHost: HOST\r\n: nameless\r\n\r\n', status: 400 },
  { name: 'more headers than a request can need', bytes: `GET /v1/health HTTP/1.1\r\nHost: HOST\r\n${'a: b\r\n'.repeat(2_100)}X-Tenant-Id: tnt_other\r\nConnection: close\r\n\r\n`, status: 431 },
  { name: 'a space in the method', bytes: 'GE T /v1/health HTTP/1.1\r\nHost: HOST\r\n\r\n', status: 400 },
];
