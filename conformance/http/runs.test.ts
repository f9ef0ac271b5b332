/** A run from its creation to its end over HTTP, as a caller sees it (PRS 4.2, Appendix D). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { send } from '../harness/raw-http.ts';
import { goldenPayload } from './golden.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';
import { parseCurl, readmeCurls } from '../vectors/readme-curls.ts';

const AO = 'agent-orchestrator';
const RUNS = '/v1/agents/agt_sample_echo_v1/runs';
let node: TestNode;
const ao = (): string => node.urls['agent-orchestrator'];

const TOOLS = ['tool.echo', 'tool.text.stats', 'tool.kv.put', 'tool.kv.get'];

beforeAll(async () => {
  node = await startNode();
  await node.agent('tnt_demo', { agentId: 'agt_suite', tools: TOOLS });
});
afterAll(() => node?.close());

async function start(body: unknown = { input: 'hello' }, tenant?: string, path = RUNS): Promise<Json> {
  const answer = await call(ao(), path, { body, ...(tenant === undefined ? {} : { tenant }) });
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return answer.body;
}

describe('creating a run', () => {
  it('answers 201 with a run in the queue and where its events are', verifies(['PRS-4.2-01', 'PRS-4.3-02', 'PRS-4.3-11'], async () => {
    const body = await start();
    expect(faultsOf(operation(AO, 'createRun'), 201, body)).toEqual([]);
    expect(body.run).toMatchObject({ tenant_id: 'tnt_demo', agent_id: 'agt_sample_echo_v1', status: 'queued', output: null, error: null, started_at: null, completed_at: null });
    expect(body.run.run_id).toMatch(/^run_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(body.run.events_url).toBe(`/v1/runs/${body.run.run_id}/events`);
    expect(body).toMatchObject({ tenant_id: 'tnt_demo', correlation_id: expect.any(String) as string });
    expect(body.run.correlation_id).toBe(body.correlation_id);
  }));

  it('takes the canonical request of the Appendix', verifies(['PRS-4.2-02'], async () => {
    const golden = { ...goldenPayload('D.1-run-create.request.json'), idempotency_key: `idem_${Date.now()}` };
    const body = await start(golden, undefined, '/v1/agents/agt_review_summarizer_v1/runs');
    expect(body.run.run_options).toMatchObject({ priority: 'normal', timeout_ms: 180_000, max_steps: 30 });
    expect((await untilEnded(ao(), body.run.run_id as string)).status).toBe('completed');
  }));

  it('takes input in every form that callers use', verifies(['PRS-4.2-03'], async () => {
    for (const input of ['hello', { text: 'hello' }, { type: 'text', text: 'hello' }]) await start({ input });
  }));

  it('takes the agent in the body as well', async () => {
    const body = await start({ agent_id: 'agt_sample_echo_v1', input: 'hello' }, undefined, '/v1/runs');
    expect(body.run.agent_id).toBe('agt_sample_echo_v1');
    expect((await call(ao(), `/v1/runs/${body.run.run_id}`)).status).toBe(200);
  });

  it.each(readmeCurls)('README: $name', verifies(['PRS-4.2-03', 'RM-01', 'RM-02'], async ({ line, service, status }: (typeof readmeCurls)[number]) => {
    const { method, path, headers, body } = parseCurl(line);
    const answer = await send(node.urls[service], { method, path, headers, ...(body === undefined ? {} : { body }) });
    expect(answer.status, answer.body).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    if (method === 'POST') expect((await untilEnded(ao(), JSON.parse(answer.body).run.run_id as string)).status).toBe('completed');
  }));

  it('uses the default tenant where none is named', verifies(['RM-02'], async () => {
    const answer = await call(ao(), RUNS, { tenant: null, body: { input: 'hello' } });
    expect(answer.status).toBe(201);
    expect(answer.body.run.tenant_id).toBe('tnt_demo');
  }));
});

describe('a run', () => {
  it('runs to completion and says what it did', verifies(['PRS-4.2-04', 'PRS-4.2-11', 'PRS-3.1-02', 'HLD-4.3-01', 'PRS-11.1-02'], async () => {
    const { run } = await start({ input: 'Please echo this sentence.' });
    const ended = await untilEnded(ao(), run.run_id as string);
    expect(ended).toMatchObject({ status: 'completed', error: null, output: { type: 'text', text: expect.any(String) as string } });
    expect(ended.output.text.length).toBeGreaterThan(0);
    expect(ended.summary.model_calls_total).toBeGreaterThan(0);
    expect(Date.parse(ended.completed_at as string)).toBeGreaterThanOrEqual(Date.parse(ended.started_at as string));
    const body = (await call(ao(), `/v1/runs/${run.run_id}`)).body;
    expect(faultsOf(operation(AO, 'getRun'), 200, body)).toEqual([]);
  }));

  it('calls a tool and a model, and the events tell both', verifies(['PRS-4.2-09', 'PRS-4.2-10', 'PRS-11.1-03', 'PRS-11.1-04'], async () => {
    const { run } = await start({ input: 'Use tool.text.stats on this sentence, please.' }, undefined, '/v1/agents/agt_suite/runs');
    await untilEnded(ao(), run.run_id as string);
    const { frames } = await readEvents(ao(), run.events_url as string);
    const types = frames.map((frame) => frame.data.event.type as string);
    expect(types.filter((type) => type === 'agentos.model.requested').length).toBeGreaterThanOrEqual(2);
    expect(types).toEqual(expect.arrayContaining(['agentos.tool.call.requested', 'agentos.tool.call.completed']));
    const completed = frames.find((frame) => frame.data.event.type === 'agentos.tool.call.completed')!.data.event;
    expect(completed.payload).toMatchObject({ tool_id: 'tool.text.stats', status: 'ok', error: null });
    const model = frames.find((frame) => frame.data.event.type === 'agentos.model.completed')!.data.event;
    expect(model.payload).toMatchObject({ status: 'ok', policy_outcome: { decision: 'allowed' }, route: { backend: 'builtin' } });
    expect(model.payload.usage.total_tokens).toBeGreaterThan(0);
  }));

  it('never calls a tool that the request denies', verifies(['PRS-6.3-04', 'PRS-10.1-03'], async () => {
    const { run } = await start({ input: 'Use tool.text.stats on this sentence.', tooling: { tool_denymap: ['tool.text.stats'] } }, undefined, '/v1/agents/agt_suite/runs');
    await untilEnded(ao(), run.run_id as string);
    const { frames } = await readEvents(ao(), run.events_url as string);
    const done = frames.map((frame) => frame.data.event).filter((event) => event.type === 'agentos.tool.call.completed');
    expect(done.filter((event) => event.payload.tool_id === 'tool.text.stats' && event.payload.status === 'ok')).toEqual([]);
  }));

  it('stops at max_steps', verifies(['PRS-4.2-12'], async () => {
    const { run } = await start({ input: 'Use tool.text.stats on this sentence.', run_options: { max_steps: 1 } }, undefined, '/v1/agents/agt_suite/runs');
    const ended = await untilEnded(ao(), run.run_id as string);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'max_steps_exceeded' }, output: null });
    const { frames } = await readEvents(ao(), run.events_url as string);
    expect(frames.at(-1)!.data.event).toMatchObject({ type: 'agentos.run.failed', payload: { status: 'failed', error: { code: 'max_steps_exceeded' } } });
  }));

  it('is answered the same way twice', async () => {
    const { run } = await start();
    await untilEnded(ao(), run.run_id as string);
    const [one, other] = [await call(ao(), `/v1/runs/${run.run_id}`), await call(ao(), `/v1/runs/${run.run_id}`)];
    expect(one.body.run).toEqual(other.body.run);
  });
});

describe('canceling', () => {
  it('answers 200 for a run that has not ended and 409 for one that has', verifies(['PRS-4.2-05', 'T06-01'], async () => {
    const tenant = await node.tenant();
    const { run } = await start({ input: 'hello' }, tenant);
    const first = await call(ao(), `/v1/runs/${run.run_id}:cancel`, { method: 'POST', tenant });
    // The run may have been quicker than the cancel; then the answer is the conflict, and nothing else.
    if (first.status === 200) {
      expect(faultsOf(operation(AO, 'cancelRun'), 200, first.body)).toEqual([]);
      expect(first.body.run).toMatchObject({ status: 'canceled', completed_at: expect.any(String) as string });
    } else expect(first.body.error.code).toBe('invalid_state_transition');
    const again = await call(ao(), `/v1/runs/${run.run_id}:cancel`, { method: 'POST', tenant });
    expect(again.status).toBe(409);
    expect(again.body.error).toMatchObject({ code: 'invalid_state_transition', retryable: false });
    expect(faultsOf(operation(AO, 'cancelRun'), 409, again.body)).toEqual([]);
    const { frames } = await readEvents(ao(), run.events_url as string, { tenant });
    expect(frames.filter((frame) => /run\.(completed|failed|canceled)$/.test(frame.data.event.type as string))).toHaveLength(1);
  }));

  it('takes an escaped colon and needs no body', async () => {
    const { run } = await start();
    await untilEnded(ao(), run.run_id as string);
    expect((await call(ao(), `/v1/runs/${run.run_id}%3Acancel`, { method: 'POST' })).status).toBe(409);
  });
});

describe('listing', () => {
  it('answers newest first, in pages, by agent and by status', verifies(['PRS-4.3-15'], async () => {
    const tenant = await node.tenant();
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) ids.push((await start({ input: `n${i}` }, tenant, i === 4 ? '/v1/agents/my-agent/runs' : RUNS)).run.run_id as string);
    for (const id of ids) await untilEnded(ao(), id, { tenant });
    const first = await call(ao(), '/v1/runs?limit=3', { tenant });
    expect(faultsOf(operation(AO, 'listRuns'), 200, first.body)).toEqual([]);
    expect(first.body.has_more).toBe(true);
    const second = await call(ao(), `/v1/runs?limit=3&after=${first.body.runs.at(-1).run_id}`, { tenant });
    expect(second.body.has_more).toBe(false);
    expect([...first.body.runs, ...second.body.runs].map((run: Json) => run.run_id)).toEqual([...ids].reverse());
    expect((await call(ao(), '/v1/runs?status=completed&limit=10', { tenant })).body.runs).toHaveLength(5);
    expect((await call(ao(), '/v1/runs?status=queued', { tenant })).body.runs).toEqual([]);
    const byAgent = await call(ao(), `${RUNS}?limit=10`, { tenant });
    expect(byAgent.body.runs).toHaveLength(4);
    expect(faultsOf(operation(AO, 'listAgentRuns'), 200, byAgent.body)).toEqual([]);
  }));
});
