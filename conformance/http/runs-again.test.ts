/** Runs in batches, run again, dry, in conversations, and what follows when a tool or the model fails. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Answer, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { startScriptedPolicy, type ScriptedPolicy } from '../harness/scripted-policy.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
let node: TestNode;
let policy: ScriptedPolicy;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  // `tool <id>` calls that tool without input, which none of them takes.
  policy = await startScriptedPolicy(({ said, results }) => {
    const [word, tool] = said.split(' ');
    return word === 'tool' && results.length === 0 ? { calls: [{ tool: tool!, input: {} }] } : `echo ${said}${results.length === 0 ? '' : ` ${results.join()}`}`;
  });
  node = await startNode({ services: ['agent-orchestrator'], env: { AGENTOS_MODEL_POLICY_URL: policy.url, AGENTOS_IMPLICIT_AGENTS: 'false', AGENTOS_MODEL_OUTAGE_GRACE_MS: '0' } });
  await node.agent('tnt_demo', { agentId: 'agt_tools', tools: ['tool.echo', 'tool.kv.put', 'tool.kv.get'] });
  await node.agent('tnt_demo', { agentId: 'agt_strict', tools: ['tool.echo'], onToolFailure: 'abort' });
  await node.agent('tnt_demo', { agentId: 'agt_fenced', tools: ['tool.kv.put', 'tool.kv.get'], permissions: { memory: { read: ['kv:open'], write: [] } } });
});
afterAll(async () => {
  await node?.close();
  await policy?.close();
});

const post = (path: string, body?: Json, headers: Record<string, string> = {}): Promise<Answer> => call(ao(), path, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
async function ended(agentId: string, body: Json): Promise<Json> {
  const answer = await post(`/v1/agents/${agentId}/runs`, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return untilEnded(ao(), answer.body.run.run_id as string);
}

describe('a batch', () => {
  it('admits each run by itself, in order', async () => {
    const runs = [{ agent_id: 'agt_tools', input: 'a' }, { agent_id: 'agt_absent', input: 'b' }, { agent_id: 'agt_tools', input: 'c', idempotency_key: 'batch-c' }];
    const answer = await post('/v1/runs:batch', { runs });
    expect([answer.status, faultsOf(operation(AO, 'createRunBatch'), 200, answer.body)]).toEqual([200, []]);
    expect((answer.body.results as Json[]).map(({ index, status, error }) => [index, status, error?.code])).toEqual([[0, 201, undefined], [1, 404, 'not_found'], [2, 201, undefined]]);
    expect((await untilEnded(ao(), answer.body.results[2].run.run_id as string)).output.text).toBe('echo c');
    const again = await post('/v1/runs/batch', { runs });
    expect(again.body.results.map((result: Json) => result.status)).toEqual([201, 404, 200]);
    expect(again.body.results[2].run.run_id).toBe(answer.body.results[2].run.run_id);
  });

  it('is the same batch under the same key', verifies(['PRS-4.3-05'], async () => {
    const runs = Array.from({ length: 100 }, (_, i) => ({ agent_id: 'agt_tools', input: `item ${i}` }));
    const [first, second] = await Promise.all([post('/v1/runs:batch', { runs }, { 'idempotency-key': 'whole' }), post('/v1/runs:batch', { runs }, { 'idempotency-key': 'whole' })]);
    const ids = (answer: Answer): string[] => answer.body.results.map((result: Json) => result.run.run_id as string);
    expect(ids(second)).toEqual(ids(first));
    expect(new Set(ids(first)).size).toBe(100);
    expect((await post('/v1/runs:batch', { runs: [...runs, runs[0]] })).status).toBe(400);
    expect((await post('/v1/runs:batch', { runs: [] })).status).toBe(400);
  }));

  it('gives what the quota has room for and refuses the rest', async () => {
    const tenant = await node.tenant({ quotas: { runs: { run_create_qps: 1, run_create_burst: 3, max_concurrent_runs: 1000 } } });
    await node.agent(tenant, { agentId: 'agt_q', tools: [] });
    const { body } = await call(ao(), '/v1/runs:batch', { tenant, body: { runs: Array.from({ length: 8 }, (_, i) => ({ agent_id: 'agt_q', input: `${i}` })) } });
    expect((body.results as Json[]).map((result) => result.status as number).sort()).toEqual([201, 201, 201, 429, 429, 429, 429, 429]);
    expect(body.results.find((result: Json) => result.status === 429).error).toMatchObject({ code: 'rate_limited', retryable: true });
  });
});

describe('a run that has ended', () => {
  it('can be run again, of the newest version, and the new run says so', async () => {
    await node.agent('tnt_demo', { agentId: 'agt_again', tools: [] });
    const old = await ended('agt_again', { input: 'hello', context: { labels: { team: 'growth' } }, run_options: { priority: 'low', max_steps: 3 } });
    await node.agent('tnt_demo', { agentId: 'agt_again', tools: [], name: 'Newer' });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const answer = await post(`/v1/runs/${old.run_id}:retry`, { run_options: { priority: 'high' } });
    expect([answer.status, faultsOf(operation(AO, 'retryRun'), 201, answer.body)]).toEqual([201, []]);
    expect(answer.body.run).toMatchObject({ retry_of: old.run_id, agent_version: '2', labels: { team: 'growth' }, run_options: { priority: 'high', max_steps: 3 } });
    expect((await untilEnded(ao(), answer.body.run.run_id as string)).output.text).toBe('echo hello');
    expect((await call(ao(), `/v1/runs/${old.run_id}`)).body.run).toEqual(old);
  });

  it('is run again once under one key, and needs no body', async () => {
    const old = await ended('agt_tools', { input: 'x' });
    const first = await post(`/v1/runs/${old.run_id}/retry`, undefined, { 'idempotency-key': 'r1' });
    const second = await post(`/v1/runs/${old.run_id}:retry`, undefined, { 'idempotency-key': 'r1' });
    expect([first.status, second.status, second.body.run.run_id]).toEqual([201, 200, first.body.run.run_id]);
    expect((await post(`/v1/runs/${old.run_id}:retry`, { run_options: { max_steps: 2 } }, { 'idempotency-key': 'r1' })).status).toBe(409);
  });

  it('cannot be run again before its end, nor by another tenant', async () => {
    policy.setMode('hangs');
    const { run } = (await post('/v1/agents/agt_tools/runs', { input: 'x' })).body;
    const answer = await post(`/v1/runs/${run.run_id}:retry`);
    expect([answer.status, answer.body.error.code]).toEqual([409, 'invalid_state_transition']);
    policy.setMode('answers');
    await untilEnded(ao(), run.run_id as string);
    expect((await call(ao(), `/v1/runs/${run.run_id}:retry`, { method: 'POST', tenant: await node.tenant() })).status).toBe(404);
  });

  it('has a history in pages, and replays to the same decisions', verifies(['PRS-5.2-08', 'PRS-3.1-03'], async () => {
    const run = await ended('agt_tools', { input: 'tool tool.echo' });
    const events: Json[] = [];
    for (let after = 0; ;) {
      const page = (await call(ao(), `/v1/runs/${run.run_id}/history?limit=5&after_sequence=${after}`)).body;
      expect(faultsOf(operation(AO, 'listRunEvents'), 200, page)).toEqual([]);
      events.push(...(page.events as Json[]));
      if (!page.has_more) break;
      after = events.at(-1)!.event.sequence as number;
    }
    expect(events.map(({ event }) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    const asked = policy.asked.length;
    const replay = await post(`/v1/runs/${run.run_id}:replay`);
    expect([replay.status, faultsOf(operation(AO, 'replayRun'), 200, replay.body)]).toEqual([200, []]);
    expect(replay.body).toMatchObject({ agreed: true, steps: 3, missing: [] });
    expect((replay.body.decisions as Json[]).map(({ kind }) => kind)).toEqual(['model', 'tool', 'model', 'finish']);
    expect(policy.asked).toHaveLength(asked);
    expect((await post('/v1/runs/run_absent:replay')).status).toBe(404);
  }));
});

describe('a dry run', () => {
  it('plans and asks policy, and calls no model and no tool', verifies(['PRS-5.2-03'], async () => {
    const [asked, checked] = [policy.asked.length, policy.checked.length];
    const run = await ended('agt_tools', { input: 'tool tool.echo', run_options: { dry_run: true }, tooling: { tool_denymap: ['tool.kv.put'] } });
    expect(run).toMatchObject({
      status: 'completed',
      output: { type: 'plan', plan: { policy_outcome: { decision: 'allowed' }, tools_permitted: ['tool.echo', 'tool.kv.get'], tools_denied: [{ tool_id: 'tool.kv.put', reason: 'tool_denymap' }] } },
      summary: { model_calls_total: 0, tool_calls_total: 0 },
    });
    expect([policy.asked.length, policy.checked.length]).toEqual([asked, checked + 1]);
    expect(policy.checked.at(-1)).toContain('tool tool.echo');
    expect((await post(`/v1/runs/${run.run_id}:replay`)).body.agreed).toBe(true);
  }));
});

describe('a conversation as input', () => {
  it('reaches the model as it was given', async () => {
    const messages = [{ role: 'user', content: 'A' }, { role: 'assistant', content: 'B' }, { role: 'user', content: 'And then?' }];
    const run = await ended('agt_tools', { input: { type: 'messages', messages } });
    expect(run.output.text).toBe('echo And then?');
    expect(policy.asked.at(-1)!.messages.slice(-3)).toEqual(messages);
  });

  it('ends with the user', async () => {
    expect((await post('/v1/agents/agt_tools/runs', { input: { type: 'messages', messages: [{ role: 'assistant', content: 'B' }] } })).status).toBe(400);
    expect((await post('/v1/agents/agt_tools/runs', { input: { type: 'messages', messages: [] } })).status).toBe(400);
  });
});

describe('a tool that fails', () => {
  it('is the model’s to deal with, or ends the run, as the agent says', verifies(['HLD-10.1-02'], async () => {
    expect(await ended('agt_tools', { input: 'tool tool.echo' })).toMatchObject({ status: 'completed', output: { text: expect.stringContaining('invalid_request') as string } });
    expect(await ended('agt_strict', { input: 'tool tool.echo' })).toMatchObject({ status: 'failed', error: { code: 'tool_failed', details: { tool_id: 'tool.echo', code: 'invalid_request' } } });
    expect(await ended('agt_strict', { input: 'tool tool.kv.get' })).toMatchObject({ status: 'failed', error: { code: 'tool_failed', details: { code: 'forbidden' } } });
  }));

  it('may not reach memory that the agent has no permission for', verifies(['PRS-3.1-04'], async () => {
    expect((await ended('agt_fenced', { input: 'tool tool.kv.put' })).output.text).toMatch(/forbidden.*kv:default/);
    expect((await ended('agt_fenced', { input: 'tool tool.kv.get' })).output.text).toMatch(/forbidden.*kv:default/);
  }));
});

describe('a Model Policy that is down', () => {
  it('fails runs with dependency_unavailable after their attempts, holds calls back, and is used again when it is back', verifies(['HLD-10.1-01'], async () => {
    policy.setMode('breaks');
    const runs = await Promise.all(Array.from({ length: 12 }, () => ended('agt_tools', { input: 'x' })));
    for (const run of runs) expect(run).toMatchObject({ status: 'failed', error: { code: 'dependency_unavailable', retryable: true, details: { service: 'model-policy' } } });
    const metrics = async (): Promise<string> => (await call(ao(), '/metrics')).body as string;
    expect(await metrics()).toMatch(/agentos_circuit_opened_total\{[^}]*dependency="model-policy"[^}]*\} [1-9]/);
    policy.setMode('answers');
    for (let left = 100; ; left -= 1) {
      if ((await ended('agt_tools', { input: 'back' })).status === 'completed') break;
      expect(left).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await metrics()).toMatch(/agentos_circuit_state\{[^}]*dependency="model-policy"[^}]*\} 0/);
  }));
});
