import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { createMetrics } from './metrics.ts';
import { startClientSpan } from './client-span.ts';
import type { FinishedSpan } from './tracing.ts';
import { childTraceparent, continueTrace, formatTraceparent, parseTraceparent } from './trace-context.ts';

describe('traceparent', () => {
  const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  it('is continued when it is valid', () => {
    const trace = continueTrace(valid);
    expect(trace).toMatchObject({ traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentSpanId: '00f067aa0ba902b7', sampled: true });
    expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(formatTraceparent(trace)).toBe(`00-${trace.traceId}-${trace.spanId}-01`);
  });

  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['upper case', valid.toUpperCase()],
    ['no trace', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['no span', `00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`],
    ['the forbidden version', `ff${valid.slice(2)}`],
    ['version 00 with more behind', `${valid}-more`],
    ['cut short', valid.slice(0, -1)],
    ['a page of text', 'x'.repeat(5_000)],
  ])('begins anew when it is unusable: %s', (_, header) => {
    expect(parseTraceparent(header)).toBeNull();
    expect(continueTrace(header)).toMatchObject({ parentSpanId: null, traceId: expect.stringMatching(/^[0-9a-f]{32}$/) });
  });

  it('reads later versions for what it knows of them', () => {
    expect(parseTraceparent(`01${valid.slice(2)}-more`)).toMatchObject({ traceId: '4bf92f3577b34da6a3ce929d0e0e4736' });
  });

  it('gives every call a span of its own', () => {
    const spans = Array.from({ length: 10_000 }, () => childTraceparent(valid));
    expect(new Set(spans).size).toBe(10_000);
    expect(spans.every((span) => span.startsWith('00-4bf92f3577b34da6a3ce929d0e0e4736-'))).toBe(true);
  });

  it('tells others of a span only where that span is recorded', () => {
    const untraced = startClientSpan(null, 'getRun', valid);
    untraced.end(false, {});
    expect(untraced.traceparent).toBe(valid);
    const recorded: FinishedSpan[] = [];
    const traced = startClientSpan({ record: (span) => recorded.push(span), close: async () => {} }, 'getRun', valid);
    traced.end(true, { 'agentos.peer': 'stk_b' });
    expect(recorded).toMatchObject([{ name: 'getRun', kind: 'client', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentSpanId: '00f067aa0ba902b7', spanId: traced.traceparent.split('-')[2], sampled: true, failed: true }]);
    expect(recorded[0]!.spanId).not.toBe(recorded[0]!.parentSpanId);
  });
});

describe('the logger', () => {
  function lines(write: (log: ReturnType<typeof createLogger>) => void): any[] {
    const out: any[] = [];
    write(createLogger({ service: 'items', version: '1.0.2', destination: { write: (line: string) => void out.push(JSON.parse(line)) } }));
    return out;
  }

  it('writes one object a line that says who, when and what', () => {
    const [line] = lines((log) => log.child({ tenant_id: 'tnt_demo', run_id: 'run_1' }).info('Hello.'));
    expect(line).toMatchObject({ level: 'info', service: 'items', version: '1.0.2', tenant_id: 'tnt_demo', run_id: 'run_1', msg: 'Hello.' });
    expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });

  it('keeps secrets out, wherever they hang', () => {
    const secret = 'hunter2-secret';
    const out = lines((log) => {
      log.info({ authorization: secret, password: secret }, 'top');
      log.info({ headers: { authorization: secret, 'x-api-key': secret, cookie: secret } }, 'one deep');
      log.info({ request: { headers: { Authorization: secret }, body: { api_key: secret } } }, 'two deep');
      log.info({ config: { OPENAI_API_KEY: secret, DATABASE_URL: secret } }, 'configuration');
      log.info({ backends: [{ api_key: secret }] }, 'in a list');
      log.child({ run_id: 'run_1' }).child({ credentials: { token: secret } }).info('bound');
      log.warn({ err: Object.assign(new Error('refused'), { config: { headers: { authorization: secret } } }) }, 'on an error');
    });
    expect(JSON.stringify(out)).not.toContain(secret);
    expect(out).toHaveLength(7);
    expect(out[5]).toMatchObject({ run_id: 'run_1', credentials: { token: '[redacted]' } });
  });
});

describe('metrics', () => {
  it('belong to one service and say so', async () => {
    const [first, second] = [createMetrics({ service: 'a' }), createMetrics({ service: 'b', process: false })];
    first.observeHttp({ operation: 'getItem', method: 'GET', status: 200, durationSeconds: 0.002 });
    first.observeHttp({ operation: 'streamItem', method: 'GET', status: 200, durationSeconds: null });
    first.flushesOf('runs')({ size: 7, durationMs: 3, failed: true, waiting: 2 });
    const text = await first.render();
    expect(text).toContain('agentos_http_requests_total{method="GET",operation="getItem",status="200",service="a"} 1');
    expect(text).toContain('agentos_http_request_duration_seconds_count{service="a",method="GET",operation="getItem",status="200"} 1');
    expect(text).not.toMatch(/duration_seconds_count\{.*streamItem.*\} [1-9]/);
    expect(text).toContain('agentos_group_commit_writes_sum{service="a",writer="runs"} 7');
    expect(text).toContain('agentos_group_commit_failures_total{writer="runs",service="a"} 1');
    expect(text).toMatch(/process_cpu_seconds_total/);
    expect(await second.render()).not.toMatch(/getItem|process_cpu/);
  });
});
