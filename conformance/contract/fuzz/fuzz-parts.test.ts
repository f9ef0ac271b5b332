/** The parts of the fuzz by themselves: what it draws fits the contract often enough, and its verdict sees each kind of fault. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listOperations, type OpenApiDocument } from '../../../scripts/contract/openapi.ts';
import type { SchemaLibrary } from '../../../scripts/contract/schema-library.ts';
import type { WireAnswer } from '../../harness/raw-http.ts';
import { operation, serviceNames } from '../../http/operations.ts';
import { PROTO_PLACEHOLDER, faultsFor } from './fault.ts';
import { toWire, type FuzzRequest } from './request-arbitrary.ts';
import { arbitraryOf } from './schema-arbitrary.ts';
import { parametersJudge } from './parameters.ts';
import { Tally, isSuccess } from './tally.ts';
import { faultsOfAnswer } from './verdict.ts';

const documents = serviceNames.map((service) => ({ service, document: JSON.parse(readFileSync(new URL(`../../../generated/openapi/${service}.json`, import.meta.url), 'utf8')) as OpenApiDocument }));

describe('bodies drawn from the schema', () => {
  const withBodies = documents.flatMap(({ service, document }) =>
    listOperations(document).filter(({ requestBody }) => requestBody !== null).map((view) => ({ service, document, view, name: `${service} ${view.operationId}` })),
  );

  it.each(withBodies)('of $name fit it often enough, and differ', ({ service, document, view }) => {
    const schema = view.requestBody!.content['application/json']!.schema;
    const drawn = fc.sample(arbitraryOf(schema, document.components!.schemas as SchemaLibrary, {}), { seed: 7, numRuns: 60 });
    const { validateBody } = operation(service, view.operationId);
    const fitting = drawn.filter((value) => validateBody!(structuredClone(value)));
    expect(fitting.length).toBeGreaterThan(5);
    expect(new Set(fitting.map((value) => JSON.stringify(value))).size).toBeGreaterThan(3);
  });
});

describe('faults', () => {
  const request: FuzzRequest = {
    method: 'POST', template: '/v1/agents/{agent_id}/runs', path: [{ name: 'agent_id', raw: 'a' }], query: [], queryNames: [], headers: [['Content-Type', 'application/json']],
    body: { input: 'hello', run_options: { max_steps: 3 } },
  };
  const wires = fc.sample(faultsFor(request), { seed: 7, numRuns: 400 }).map((fault) => toWire(fault(request)));

  it.each([[undefined, false], [{}, false], [request.body, true]])('of a request with the body %j announce five bytes, which a server waits for: %j', (body, expected) => {
    const faults = fc.sample(faultsFor({ ...request, body }), { seed: 7, numRuns: 4_000 });
    expect(faults.some((fault) => fault({ ...request, body }).headers.some(([name]) => name === 'Content-Length'))).toBe(expected);
  });

  it('leave the request that they are made from alone', () => {
    expect(request.body).toEqual({ input: 'hello', run_options: { max_steps: 3 } });
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  it('reach the path, the query, the headers, the members of the body and its bytes', () => {
    expect(wires.some(({ path }) => path.startsWith('/v1/agents/') && !path.startsWith('/v1/agents/a/'))).toBe(true);
    expect(wires.some(({ path }) => path.includes('?'))).toBe(true);
    expect(wires.some(({ headers }) => headers.length > 1)).toBe(true);
    const bodies = wires.map(({ body }) => (body === undefined ? '' : body.toString()));
    expect(bodies.some((body) => body.includes('"__proto__":'))).toBe(true);
    expect(bodies.some((body) => body.length > 262_144)).toBe(true);
    expect(bodies.some((body) => body.includes(PROTO_PLACEHOLDER))).toBe(false);
    const parsed = bodies.map((body) => { try { return JSON.parse(body) as { input?: unknown }; } catch { return null; } });
    expect(parsed.some((body) => body === null)).toBe(true);
    expect(parsed.some((body) => body !== null && typeof body === 'object' && !('input' in body))).toBe(true);
  });
});

describe('the verdict', () => {
  const SAFE = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' };
  const getRun = operation('agent-orchestrator', 'getRun');
  const error = { error: { code: 'not_found', message: 'There is no such run.', retryable: false, details: {} }, correlation_id: 'corr_1', tenant_id: 'tnt_demo' };
  const answer = (change: Partial<WireAnswer>): WireAnswer => ({ status: 404, headers: { ...SAFE, 'content-type': 'application/json', 'x-correlation-id': 'corr_1' }, body: JSON.stringify(error), closed: true, ...change });
  const faults = (change: Partial<WireAnswer>, fit: 'valid' | 'misfit' | 'unknown' = 'unknown'): string => faultsOfAnswer(getRun, answer(change), fit).join('; ');

  it('finds nothing wrong with a declared error', () => {
    expect(faults({})).toBe('');
  });

  it.each([
    ['our fault', { status: 500 }, 'answers 500'],
    ['a dependency that is away', { status: 503 }, 'answers 503'],
    ['a status that is not declared', { status: 418 }, 'does not declare'],
    ['a success that is not declared', { status: 201 }, 'does not declare'],
    ['a stack', { body: JSON.stringify({ ...error, error: { ...error.error, message: 'Oops\n    at main (/x.js:1:1)' } }).replace('\\n', '\n') }, 'no JSON'],
    ['a module', { body: JSON.stringify({ ...error, error: { ...error.error, message: 'in node_modules/pg' } }) }, 'tells'],
    ['an error as a page', { headers: { 'content-type': 'text/html' }, body: '<html>' }, 'answers an error as text/html'],
    ['an answer that browsers may guess at', { headers: { ...answer({}).headers, 'x-content-type-options': '' } }, 'answers without x-content-type-options'],
    ['an error without its correlation id', { body: JSON.stringify({ ...error, correlation_id: 'corr_2' }) }, 'correlation_id'],
    ['another shape of error', { body: JSON.stringify({ message: 'no', correlation_id: 'corr_1' }) }, 'not the error model'],
    ['a header that the request wrote', { headers: { ...answer({}).headers, 'x-injected': 'yes' } }, 'write a header'],
    ['a success of another shape', { status: 200, body: '{"correlation_id":"corr_1"}' }, 'answers 200 with'],
  ])('sees %s', (_name, change, says) => {
    expect(faults(change)).toContain(says);
  });

  it.each([
    ['a page in the place of JSON', { headers: { ...answer({}).headers, 'content-type': 'text/html' }, body: '<p>' }, 'answers a success as text/html'],
    ['a status without a shape', { status: 204, body: '{}' }, 'answers 204 with a body'],
  ])('sees a success that is %s', (_name, change, says) => {
    expect(faults({ status: 200, ...change })).toContain(says);
  });

  it.each([
    ['by the contract that it fits', { message: 'The request query does not fit the contract: /limit must be <= 200.' }, 'refuses what fits'],
    ['for being one of too many', { code: 'rate_limited' }, 'too much is asked'],
    ['by the database', { details: { reason: 'value_not_storable' } }, 'lets the database find out'],
  ])('sees that a valid request was refused %s', (_name, change, says) => {
    expect(faults({ status: 400, body: JSON.stringify({ ...error, error: { ...error.error, ...change } }) }, 'valid')).toContain(says);
  });

  it('reads the lines of a stream', () => {
    const stream = (body: string): string => faultsOfAnswer(operation('agent-orchestrator', 'streamRunEvents'), answer({ status: 200, headers: { ...SAFE, 'content-type': 'text/event-stream' }, body }), 'unknown').join('; ');
    expect(stream(': here\n\nid: 1\nevent: agentos.event\ndata: {"a":1}\n\n')).toBe('');
    expect(stream('data: undefined\n\n')).toContain('no JSON');
  });

  it('sees that something was taken which the contract refuses', () => {
    expect(faults({ status: 200 }, 'misfit')).toContain('does not fit the contract');
  });
});

describe('the judge of parameters', () => {
  const { document } = documents.find(({ service }) => service === 'agent-orchestrator')!;
  const fits = parametersJudge(document, listOperations(document).find(({ operationId }) => operationId === 'listRuns')!);
  const query = (...members: ReadonlyArray<readonly [string, string]>): boolean => fits({ path: [], query: members.map(([name, raw]) => ({ name, raw })) });

  it.each([
    [['limit', '5']], [['status', 'running']], [['created_after', '2025-12-19T22%3A15%3A30%2B01%3A00']], [['unheard_of', '%zz']], [['agent_id', '7']],
  ] as ReadonlyArray<readonly [readonly [string, string]]>)('takes %j', (member) => {
    expect(query(member)).toBe(true);
  });

  it('takes a list where the contract has one, and no other', () => {
    expect(query(['label', 'a:b'], ['label', 'c:d'])).toBe(true);
    expect(query(['limit', '5'], ['limit', '6'])).toBe(false);
  });

  it.each([
    [['limit', '0']], [['limit', '1e30']], [['limit', 'ten']], [['limit', '%ff']], [['status', 'dreaming']], [['created_after', '2025-02-30T00%3A00%3A00Z']], [['label', 'nothing']],
  ] as ReadonlyArray<readonly [readonly [string, string]]>)('refuses %j', (member) => {
    expect(query(member)).toBe(false);
  });
});

describe('the tally', () => {
  it('tells an operation that was served from one that was only refused', () => {
    const tally = new Tally();
    for (const status of [200, 201, 404]) tally.add('one', { valid: true, status, tookMs: 2 });
    tally.add('other', { valid: true, status: 404, tookMs: 1 });
    tally.add('other', { valid: false, status: 200, tookMs: 3 });
    expect(['one', 'other', 'nobody'].map((name) => tally.validAnsweredBy(name, isSuccess))).toEqual([2, 0, 0]);
    expect([...tally.lines()]).toEqual([
      'one: 2 of 3 valid answered 2xx (200 × 1, 201 × 1, 404 × 1); one fault away: nothing; 2.0 ms, at most 2 ms',
      'other: 0 of 1 valid answered 2xx (404 × 1); one fault away: 200 × 1; 3.0 ms, at most 3 ms',
    ]);
  });
});
