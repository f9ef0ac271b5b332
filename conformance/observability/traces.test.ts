/** Traces reach an OTLP collector, under the caller's trace, with tenant and run (PRS 9.1, HLD 9.1). */
import { pino } from 'pino';
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTracing } from '../../services/platform/telemetry/tracing.ts';
import { call, untilEnded } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { startOtlpCollector, type CollectedSpan, type OtlpCollector } from '../harness/otlp-collector.ts';
import { verifies } from '../http/verifies.ts';
import { OBSERVABILITY } from './sources.ts';

let collector: OtlpCollector;
let node: TestNode;
beforeAll(async () => {
  collector = await startOtlpCollector();
  node = await startNode({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } });
}, 90_000);
afterAll(async () => {
  await node?.close();
  await collector?.close();
});

const CANARY = 'canary-of-a-prompt-5d1c';

describe('a run', () => {
  it('is one trace from the request that made it to its model calls', verifies(['PRS-9.1-04', 'PRS-15.5-01'], async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: CANARY }, headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } });
    const runId = made.body.run.run_id as string;
    await untilEnded(node.urls['agent-orchestrator'], runId);
    const ofTrace = (): CollectedSpan[] => collector.spans.filter((span) => span.traceId === traceId);
    const wanted = ['createRun', 'invoke_agent agt_sample_echo_v1', 'invokeModel'];
    await expect.poll(() => wanted.filter((name) => !ofTrace().some((span) => span.name === name)), { timeout: 15_000 }).toEqual([]);
    await expect.poll(() => ofTrace().some((span) => span.attributes['gen_ai.operation.name'] === 'chat'), { timeout: 15_000 }).toBe(true);
    const [request, run, chat] = [ofTrace().find(({ name }) => name === wanted[0])!, ofTrace().find(({ name }) => name === wanted[1])!, ofTrace().find(({ attributes }) => attributes['gen_ai.operation.name'] === 'chat')!];
    expect(request).toMatchObject({ service: 'agent-orchestrator', parentSpanId: 'b7ad6b7169203331', attributes: { 'agentos.tenant_id': 'tnt_demo', 'http.response.status_code': 201 } });
    expect(run).toMatchObject({ parentSpanId: request.spanId, attributes: { 'agentos.run_id': runId, 'agentos.tenant_id': 'tnt_demo', 'agentos.run.status': 'completed' } });
    expect(chat).toMatchObject({ service: 'model-policy', attributes: { 'agentos.run_id': runId, 'agentos.tenant_id': 'tnt_demo', 'gen_ai.provider.name': 'builtin' } });
  }), 180_000);

  it('leaves none of its content in a trace', () => {
    expect(collector.received().length).toBeGreaterThan(0);
    expect(collector.received()).not.toContain(CANARY);
  });

  it('that its caller does not sample is not traced', async () => {
    const traceId = '1bf7651916cd43dd8448eb211c80319d';
    await call(node.urls['agent-orchestrator'], '/v1/runs', { headers: { traceparent: `00-${traceId}-b7ad6b7169203331-00` } });
    const after = '2cf7651916cd43dd8448eb211c80319e';
    await call(node.urls['agent-orchestrator'], '/v1/runs', { headers: { traceparent: `00-${after}-b7ad6b7169203331-01` } });
    await expect.poll(() => collector.spans.some((span) => span.traceId === after), { timeout: 15_000 }).toBe(true);
    expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
  }, 180_000);
});

describe('tracing', () => {
  const log = pino({ level: 'silent' });

  it('is nothing without an endpoint', async () => {
    expect(await openTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: undefined, OTEL_SERVICE_NAME: undefined }, 'a', '1', log)).toBeNull();
  });

  it('costs a request a small part of what it costs to serve', async () => {
    const tracing = (await openTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_SERVICE_NAME: undefined }, 'cost', '1', log))!;
    const span = { name: 'createRun', kind: 'server', traceId: 'f'.repeat(32), parentSpanId: null, sampled: true, durationMs: 2, failed: false, attributes: { 'http.request.method': 'POST', 'agentos.tenant_id': 'tnt_a' } } as const;
    const cpuMs = async (work: () => Promise<unknown> | unknown): Promise<number> => {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    };
    const requests = 300;
    const serving = (await cpuMs(async () => {
      for (let i = 0; i < requests; i += 1) await call(node.urls['agent-orchestrator'], '/v1/runs');
    })) / requests;
    const each = 2_000;
    const recording = (await cpuMs(async () => {
      for (let i = 0; i < each; i += 1) tracing.record(span);
      await tracing.close();
    })) / each;
    console.info(`CPU of a span, encoded and sent: ${(recording * 1_000).toFixed(0)} µs; of a request to the service, with its client: ${(serving * 1_000).toFixed(0)} µs (× ${(recording / serving).toFixed(3)})`);
    expect(recording).toBeLessThan(serving / 2);
  }, 180_000);

  it('goes to the collector that is shipped: its receiver speaks what services send', verifies(['PRS-9.1-04'], () => {
    const config = parse(readFileSync(path.join(OBSERVABILITY, 'otel', 'collector.yml'), 'utf8')) as { receivers: Record<string, unknown>; processors: object; exporters: object; extensions: object; service: { extensions: string[]; pipelines: Record<string, { receivers: string[]; processors: string[]; exporters: string[] }> } };
    expect(config.receivers).toMatchObject({ otlp: { protocols: { http: { endpoint: expect.stringMatching(/:4318$/) as string } } } });
    for (const pipeline of Object.values(config.service.pipelines)) {
      expect(Object.keys(config.receivers)).toEqual(expect.arrayContaining(pipeline.receivers));
      expect(Object.keys(config.processors)).toEqual(expect.arrayContaining(pipeline.processors));
      expect(Object.keys(config.exporters)).toEqual(expect.arrayContaining(pipeline.exporters));
    }
    expect(Object.keys(config.extensions)).toEqual(config.service.extensions);
    const compose = parse(readFileSync(path.join(OBSERVABILITY, 'compose.observability.yaml'), 'utf8'), { merge: true }) as { services: Record<string, { environment?: Record<string, string> }> };
    for (const service of ['nodea-agent-orchestrator', 'nodea-model-policy', 'nodea-federation']) expect(compose.services[service]!.environment).toMatchObject({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel-collector:4318' });
  }));
});
