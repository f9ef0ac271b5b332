/** What holds for every path of every service: health, errors, correlation, traces (PRS 4.2, 4.3; C-04, C-37 to C-39, C-68). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operationFor, operationsOf, serviceNames } from './operations.ts';
import { validators } from '../../generated/validators/schemas.js';
import { verifies } from './verifies.ts';

let node: TestNode;
const ao = (): string => node.urls['agent-orchestrator'];
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

describe.each(serviceNames)('health of %s', (service) => {
  const ownHealth = service === 'federation' ? '/v1/federation/health' : '/v1/health';

  it('is open to anyone, on every alias, with the same body', verifies(['PRS-4.2-15'], async () => {
    for (const path of new Set(['/healthz', '/health', '/v1/health', ownHealth])) {
      const { status, body } = await call(node.urls[service], path, { tenant: null });
      expect(status, path).toBe(200);
      expect(body).toMatchObject({ status: 'ok', service, version: expect.stringMatching(/^1\.0\.2/) as string });
      expect(faultsOf(operationFor(service, 'GET', path)!, 200, body), path).toEqual([]);
    }
  }));

  it('readiness names what it stands on', verifies(['PRS-4.2-16', 'PRS-11.1-01'], async () => {
    for (const path of ['/readyz', '/v1/ready']) {
      const { status, body } = await call(node.urls[service], path, { tenant: null });
      expect(status, JSON.stringify(body)).toBe(200);
      expect(Object.keys(body.checks as object).length).toBeGreaterThan(0);
      expect(faultsOf(operationFor(service, 'GET', path)!, 200, body)).toEqual([]);
    }
  }));

  it('metrics are Prometheus text', verifies(['PRS-9.1-01'], async () => {
    const { status, headers, body } = await call(node.urls[service], '/metrics', { tenant: null });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/plain/);
    expect(body).toMatch(/^# HELP /m);
    expect(body).toMatch(/^agentos_http_requests_total/m);
  }));
});

describe.each(serviceNames)('errors of %s', (service) => {
  it('are the error model, whatever the path', verifies(['PRS-4.3-09', 'PRS-4.3-11'], async () => {
    const validator = validators.ErrorResponse as (value: unknown) => boolean;
    for (const [method, path, status, code] of [['GET', '/nowhere', 404, 'not_found'], ['DELETE', '/healthz', 405, 'method_not_allowed'], ['GET', '/v1/%zz', 400, 'invalid_request']] as const) {
      const answer = await call(node.urls[service], path, { method, headers: { accept: 'text/html' } });
      expect([answer.status, answer.body.error?.code], `${method} ${path}`).toEqual([status, code]);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(validator(answer.body)).toBe(true);
      expect(answer.body.error.details).toBeTypeOf('object');
      expect(answer.headers.get('x-correlation-id')).toBe(answer.body.correlation_id);
      if (status === 405) expect(answer.headers.get('allow')).toContain('GET');
    }
  }));

  it('every operation without a parameter answers a declared status', async () => {
    for (const row of operationsOf[service].filter((candidate) => !candidate.path.includes('{') && !candidate.streams)) {
      const answer = await call(node.urls[service], row.path, { method: row.method, ...(row.body === null ? {} : { body: {} }) });
      expect(row.statuses, `${row.method} ${row.path}: ${JSON.stringify(answer.body).slice(0, 300)}`).toContain(answer.status);
      expect(answer.status).not.toBe(500);
      if (row.produces === 'application/json') expect(faultsOf(row, answer.status, answer.body), row.operationId).toEqual([]);
    }
  });
});

describe('correlation', () => {
  it('is the caller\'s where it names one', verifies(['PRS-4.3-11'], async () => {
    const named = await call(ao(), '/v1/runs', { headers: { 'x-correlation-id': 'corr_mine', 'x-request-id': 'req_mine' } });
    expect(named.body.correlation_id).toBe('corr_mine');
    expect(named.headers.get('x-correlation-id')).toBe('corr_mine');
    expect(named.headers.get('x-request-id')).toBe('req_mine');
    const request = await call(ao(), '/v1/runs', { headers: { 'x-request-id': 'req_only' } });
    expect(request.body.correlation_id).toBe('req_only');
  }));

  it('is made where it names none, and goes into the run', async () => {
    const made = await call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
    expect(made.body.correlation_id).toMatch(/^corr_/);
    const read = await call(ao(), `/v1/runs/${made.body.run.run_id}`);
    expect(read.body.run.correlation_id).toBe(made.body.correlation_id);
    expect(read.body.correlation_id).not.toBe('');
  });

  it('cannot carry a line break or a novel', async () => {
    const long = await call(ao(), '/v1/runs', { headers: { 'x-correlation-id': 'x'.repeat(5_000) } });
    expect((long.body.correlation_id as string).length).toBeLessThanOrEqual(256);
  });

  it('names the tenant in every answer that has one', verifies(['PRS-4.3-02'], async () => {
    for (const [service, path] of [['agent-orchestrator', '/v1/runs'], ['agent-orchestrator', '/v1/agents'], ['model-policy', '/v1/models']] as const) {
      const { body, headers } = await call(node.urls[service], path);
      expect(body.tenant_id, path).toBe('tnt_demo');
      expect(headers.get('x-tenant-id'), path).toBe('tnt_demo');
    }
  }));
});

describe('traces', () => {
  it('continue the caller\'s into answers and events', verifies(['PRS-4.3-10'], async () => {
    const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
    const made = await call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' }, headers: { traceparent } });
    expect(made.headers.get('traceparent')).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-0[01]$`));
    expect(made.headers.get('traceparent')).not.toBe(traceparent);
    const { events } = { events: await fetch(`${ao()}${made.body.run.events_url}`, { headers: { 'x-tenant-id': 'tnt_demo' } }).then((answer) => answer.text()) };
    const traces = [...events.matchAll(/"traceparent":"00-([0-9a-f]{32})-/g)].map((match) => match[1]);
    expect(new Set(traces)).toEqual(new Set([TRACE]));
  }));

  it('are begun where the caller\'s is none', async () => {
    for (const traceparent of ['nonsense', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`, '']) {
      const { status, headers } = await call(ao(), '/v1/runs', { headers: { traceparent } });
      expect(status).toBe(200);
      expect(headers.get('traceparent')).toMatch(/^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
    }
  });
});
