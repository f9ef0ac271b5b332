/**
 * Each trace is one tree: whatever names a parent names a span that was sent to the collector, or the caller's own. A
 * span that nobody records, told to somebody else as the parent, would tear the tree apart there.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completion, startModelStub, type ModelStub, type StubAnswer, type StubCall } from '../../services/model-policy/fixture/model-server-stub.ts';
import { framesOpenAi } from '../../services/model-policy/fixture/vendor-openai.ts';
import { eventsThrough, forward } from '../federation/callers.ts';
import { call, untilEnded } from '../harness/client.ts';
import { startOtlpCollector, type CollectedSpan, type OtlpCollector } from '../harness/otlp-collector.ts';
import { startTwoNodes, type TwoNodes } from '../harness/two-nodes.ts';
import { verifies } from '../http/verifies.ts';

let collector: OtlpCollector;
let upstream: ModelStub;
let nodes: TwoNodes;
let tenant: string;

/** Calls the first tool that is offered, once, on agt_leaf; else answers. Streams where it is asked to. */
function answered({ body }: StubCall): StubAnswer {
  // Asked whether it is there.
  if (body === null) return { kind: 'json', body: { object: 'list', data: [] } };
  if (body.stream === true) return { kind: 'stream', contentType: 'text/event-stream', chunks: framesOpenAi({ texts: ['Hello', ' there.'], calls: [], usage: { input: 3, output: 2 }, finish: 'stop' }) };
  const name = body.tools?.[0]?.function.name as string | undefined;
  const done = (body.messages as { role: string }[]).some(({ role }) => role === 'tool');
  if (name === undefined || done) return completion({ role: 'assistant', content: 'Done.' });
  const asked = { id: 'call_1', type: 'function', function: { name, arguments: JSON.stringify({ agent_id: 'agt_leaf', input: 'hello' }) } };
  return completion({ role: 'assistant', content: null, tool_calls: [asked] });
}

beforeAll(async () => {
  collector = await startOtlpCollector();
  upstream = await startModelStub();
  upstream.answer = answered;
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
  nodes = await startTwoNodes({ env: {
    a: { ...traced, AGENTOS_FED_REPLICATION: 'on' },
    b: { ...traced, OPENAI_BASE_URL: upstream.baseUrl, AGENTOS_MODEL_OPENAI_MODELS: 'fast+balanced+premium=gpt@1/1#8000' },
  } });
  tenant = await nodes.tenant();
  await nodes.b.running().agent(tenant, { agentId: 'agt_leaf', tools: [] });
  await nodes.b.running().agent(tenant, { agentId: 'agt_caller', tools: ['tool.agent.invoke'], permissions: { agents: ['agt_leaf'] } });
}, 120_000);
afterAll(async () => {
  await nodes?.close();
  await upstream?.close();
  await collector?.close();
});

const CLIENT = 3;
const CALLER = 'b7ad6b7169203331';
let traces = 0;
const newTrace = (): string => `0af7651916cd43dd8448eb211c8031${(10 + (traces += 1)).toString(16).padStart(2, '0')}`;
const under = (traceId: string): { traceparent: string } => ({ traceparent: `00-${traceId}-${CALLER}-01` });
const ofTrace = (traceId: string): readonly CollectedSpan[] => collector.spans.filter((span) => span.traceId === traceId);

/** Spans, and requests that the model server got, whose parent never arrived. */
function strays(): readonly string[] {
  const known = new Set(collector.spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`));
  const lost = ({ traceId, parentSpanId }: Pick<CollectedSpan, 'traceId' | 'parentSpanId'>): boolean => parentSpanId !== undefined && parentSpanId !== '' && parentSpanId !== CALLER && !known.has(`${traceId} ${parentSpanId}`);
  const told = upstream.calls.flatMap(({ headers, path }) => {
    const [, traceId = '', parentSpanId = ''] = String(headers['traceparent'] ?? '').split('-');
    return lost({ traceId, parentSpanId }) ? [`model server ${path}`] : [];
  });
  return [...collector.spans.filter(lost).map(({ service, name }) => `${service} ${name}`), ...told];
}

/** From the root to the span, by name. */
function wayTo(span: CollectedSpan): readonly string[] {
  const parent = collector.spans.find(({ traceId, spanId }) => traceId === span.traceId && spanId === span.parentSpanId);
  return [...(parent === undefined ? [] : wayTo(parent)), span.name];
}

/** Waits for them all to arrive; the exporter gathers for a second. */
async function waysOf(traceId: string, wanted: readonly (readonly string[])[]): Promise<void> {
  await expect.poll(() => ofTrace(traceId).map(wayTo), { timeout: 30_000 }).toEqual(expect.arrayContaining(wanted as string[][]));
  await expect.poll(strays, { timeout: 30_000 }).toEqual([]);
}

describe('the trace of', () => {
  it('a run hangs together, from its request to the model server and through the run that it has made', verifies(['PRS-9.1-04', 'PRS-15.5-01'], async () => {
    const traceId = newTrace();
    const base = nodes.b.urls['agent-orchestrator'];
    const made = await call(base, '/v1/agents/agt_caller/runs', { tenant, body: { input: 'call the other one' }, headers: under(traceId) });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect(await untilEnded(base, made.body.run.run_id as string, { tenant, timeoutMs: 60_000 })).toMatchObject({ status: 'completed' });
    const run = ['createRun', 'invoke_agent agt_caller'];
    const child = [...run, 'execute_tool tool.agent.invoke', 'invoke_agent agt_leaf'];
    const model = ['chat tier:balanced', 'invokeModel', 'chat gpt'];
    await waysOf(traceId, [[...run, ...model], child, [...child, ...model]]);
    expect(new Set(ofTrace(traceId).map(({ spanId }) => spanId)).size, 'each span is told once').toBe(ofTrace(traceId).length);
  }), 120_000);

  it('a streamed completion reaches the model server as well', verifies(['PRS-9.1-04'], async () => {
    const traceId = newTrace();
    const answer = await call(nodes.b.urls['model-policy'], '/v1/chat/completions', { tenant, body: { model: 'tier:fast', stream: true, messages: [{ role: 'user', content: 'hello' }] }, headers: under(traceId) });
    expect(String(answer.body), JSON.stringify(answer.body)).toContain('[DONE]');
    await waysOf(traceId, [['createChatCompletion', 'chat gpt']]);
    expect(upstream.calls.some(({ headers }) => String(headers['traceparent']).includes(traceId))).toBe(true);
  }), 90_000);

  it('a forwarded run goes on where it executes, its stream and its copy included', verifies(['PRS-9.1-04'], async () => {
    const traceId = newTrace();
    const { status, body } = await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, agentId: 'agt_leaf', headers: under(traceId) });
    expect(status, JSON.stringify(body)).toBe(200);
    expect((await eventsThrough(nodes.a, body.forwarded.remote_run_id as string, { tenant, headers: under(traceId), timeoutMs: 60_000 })).ended).toBe(true);
    const there = ['forwardRun', 'createRun', 'forwardRun', 'createRun', 'createRun', 'invoke_agent agt_leaf'];
    await waysOf(traceId, [there, ['streamFederatedRunEvents', 'openEvents', 'streamFederatedRunEvents', 'openEvents', 'streamRunEvents']]);
    const calls = ofTrace(traceId).filter(({ name, kind }) => name === 'createRun' && kind === CLIENT).map(({ attributes }) => attributes);
    expect(calls, 'from node to node, and there to Agent Orchestrator').toHaveLength(2);
    for (const attributes of calls) expect(attributes).toMatchObject({ 'agentos.tenant_id': tenant, 'agentos.peer': 'stk_node_b', 'http.request.method': 'POST' });
    await expect.poll(() => collector.spans.some(({ name }) => name === 'replicateRun'), { timeout: 30_000 }).toBe(true);
    await expect.poll(strays, { timeout: 30_000 }).toEqual([]);
  }), 150_000);

  it('a run that is canceled while its model is asked keeps that call', async () => {
    const traceId = newTrace();
    const base = nodes.b.urls['agent-orchestrator'];
    upstream.answer = { kind: 'silent' };
    try {
      const { body } = await call(base, '/v1/agents/agt_leaf/runs', { tenant, body: { input: 'hello' }, headers: under(traceId) });
      await expect.poll(() => upstream.calls.some(({ headers }) => String(headers['traceparent']).includes(traceId)), { timeout: 30_000 }).toBe(true);
      expect((await call(base, `/v1/runs/${body.run.run_id}:cancel`, { tenant, method: 'POST', headers: under(newTrace()) })).status).toBe(200);
    } finally {
      upstream.answer = answered;
    }
    await expect.poll(() => ofTrace(traceId).some(({ name }) => name === 'invokeModel'), { timeout: 30_000 }).toBe(true);
    await expect.poll(strays, { timeout: 30_000 }).toEqual([]);
    expect(ofTrace(traceId).find(({ attributes }) => attributes['agentos.step'] !== undefined)?.attributes).toMatchObject({ 'agentos.step.status': 'abandoned' });
  }, 120_000);
});
