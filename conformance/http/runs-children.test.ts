/** Agents that call agents: child runs, their limits, and what becomes of them when their caller ends. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { startScriptedPolicy, type Asked, type ScriptedAnswer, type ScriptedPolicy } from '../harness/scripted-policy.ts';
import { verifies } from './verifies.ts';

const SLOTS = 2;
let node: TestNode;
let policy: ScriptedPolicy;
/** Runs whose model waits to be let go. */
let held: (() => void)[] = [];
const ao = (): string => node.urls['agent-orchestrator'];

/**
 * `call <agent> <rest>` calls that agent with the rest and answers with what came of it; `twice …` does so two times;
 * `hold` waits; anything else is echoed.
 */
async function script({ said, results }: Asked): Promise<ScriptedAnswer> {
  const [word, agent, ...rest] = said.split(' ');
  if (word === 'hold') await new Promise<void>((resolve) => held.push(resolve));
  if (word !== 'call' && word !== 'twice') return `echo ${said}`;
  if (results.length >= (word === 'twice' ? 2 : 1)) return `got ${results.join(' | ')}`;
  return { calls: [{ tool: 'tool.agent.invoke', input: { agent_id: agent, input: rest.join(' ') } }] };
}

beforeAll(async () => {
  policy = await startScriptedPolicy(script);
  node = await startNode({ services: ['agent-orchestrator'], env: { AGENTOS_MODEL_POLICY_URL: policy.url, AGENTOS_WORKER_CONCURRENCY: String(SLOTS), AGENTOS_IMPLICIT_AGENTS: 'false' } });
  const tools = ['tool.agent.invoke'];
  await node.agent('tnt_demo', { agentId: 'agt_leaf', tools: [] });
  await node.agent('tnt_demo', { agentId: 'agt_caller', tools, permissions: { agents: ['agt_leaf', 'agt_caller', 'agt_absent'] } });
  await node.agent('tnt_demo', { agentId: 'agt_alone', tools });
});
afterAll(async () => {
  for (const release of held) release();
  await node?.close();
  await policy?.close();
});

async function start(input: string, agentId = 'agt_caller', options: Json = {}): Promise<string> {
  const { status, body } = await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input, run_options: options } });
  expect(status, JSON.stringify(body)).toBe(201);
  return body.run.run_id as string;
}
const childrenOf = async (runId: string): Promise<Json[]> => (await call(ao(), `/v1/runs?parent_run_id=${runId}`)).body.runs as Json[];
async function until<T>(look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (let left = 500; left > 0; left -= 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return expect.fail('It did not come about.');
}
const output = async (runId: string): Promise<string> => {
  const run = await untilEnded(ao(), runId);
  expect(run.status, JSON.stringify(run.error)).toBe('completed');
  return run.output.text as string;
};

describe('an agent that calls an agent', () => {
  it('is answered by a run of its own, which names its caller', verifies(['PRS-3.1-02'], async () => {
    const runId = await start('call agt_leaf hello there');
    const [child, ...others] = await until(async () => ((await untilEnded(ao(), runId)), childrenOf(runId)));
    expect(others).toEqual([]);
    expect(child).toMatchObject({ agent_id: 'agt_leaf', status: 'completed', parent_run_id: runId, root_run_id: runId, depth: 1, output: { text: 'echo hello there' } });
    expect(await output(runId)).toBe(`got ${JSON.stringify({ run_id: child.run_id, agent_id: 'agt_leaf', output: { type: 'text', text: 'echo hello there' } })}`);
    const root = (await call(ao(), `/v1/runs/${runId}`)).body.run;
    for (const name of ['parent_run_id', 'root_run_id', 'depth', 'retry_of']) expect(root).not.toHaveProperty(name);
  }));

  it('gets an answer for each call, and its log has no trace of waiting', async () => {
    const runId = await start('twice agt_leaf x');
    expect(await output(runId)).toMatch(/^got .*echo x.* \| .*echo x/);
    expect(await childrenOf(runId)).toHaveLength(2);
    const { frames } = await readEvents(ao(), `/v1/runs/${runId}/events`);
    const types = frames.map((frame) => (frame.data.event.type as string).replace('agentos.', ''));
    const tool = ['run.step.started', 'tool.call.requested', 'tool.call.completed', 'run.step.completed'];
    const model = ['run.step.started', 'model.requested', 'model.completed', 'run.step.completed'];
    expect(types).toEqual(['run.created', 'run.started', ...model, ...tool, ...model, ...tool, ...model, 'run.completed']);
  });

  it('holds no slot while it waits: more callers than slots all get their answers', async () => {
    const started = performance.now();
    const runs = await Promise.all(Array.from({ length: 4 * SLOTS }, (_, i) => start(`call agt_caller call agt_leaf ${i}`)));
    const answers = await Promise.all(runs.map(output));
    for (const [i, answer] of answers.entries()) expect(answer).toContain(`echo ${i}`);
    // Far below the time after which a waiting run looks by itself: each was woken.
    expect(performance.now() - started).toBeLessThan(12_000);
  });

  it('is refused by permission whatever its model says, and told so', async () => {
    expect(await output(await start('call agt_leaf x', 'agt_alone'))).toMatch(/forbidden.*agt_leaf/);
    expect(await output(await start('call agt_other x'))).toMatch(/forbidden.*agt_other/);
    expect(await output(await start('call agt_absent x'))).toMatch(/not_found/);
  });

  it('is refused below the deepest depth', async () => {
    const runId = await start(`${'call agt_caller '.repeat(7)}x`);
    expect(await output(runId)).toContain('5 deep');
    const depths: number[] = [];
    for (let [child] = await childrenOf(runId); child !== undefined; [child] = await childrenOf(child.run_id as string)) {
      depths.push(child.depth as number);
      expect(child.root_run_id).toBe(runId);
    }
    expect(depths).toEqual([1, 2, 3, 4, 5]);
  });

  it('finds a child that failed or was canceled to be a failed tool, and goes on', async () => {
    const runId = await start('call agt_leaf hold');
    const [child] = await until(async () => ((await childrenOf(runId)).length > 0 && held.length > 0 ? childrenOf(runId) : null));
    expect((await call(ao(), `/v1/runs/${child!.run_id}:cancel`, { method: 'POST' })).status).toBe(200);
    expect(await output(runId)).toMatch(/tool_failed.*canceled/);
    for (const release of held.splice(0)) release();
  });
});

describe('a caller that ends', () => {
  it('takes its children with it when it is canceled', async () => {
    const runId = await start('call agt_caller call agt_leaf hold');
    const child = await until(async () => (await childrenOf(runId))[0]);
    const grandchild = await until(async () => (held.length > 0 ? (await childrenOf(child.run_id as string))[0] : null));
    expect((await call(ao(), `/v1/runs/${runId}:cancel`, { method: 'POST' })).status).toBe(200);
    for (const run of [child, grandchild]) expect((await untilEnded(ao(), run.run_id as string)).status).toBe('canceled');
    for (const release of held.splice(0)) release();
  });

  it('takes its children with it when its time is up', async () => {
    const runId = await start('call agt_leaf hold', 'agt_caller', { timeout_ms: 700 });
    const child = await until(async () => (await childrenOf(runId))[0]);
    const ended = await untilEnded(ao(), runId);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    expect(child.run_options.timeout_ms).toBeLessThanOrEqual(700);
    expect((await untilEnded(ao(), child.run_id as string)).status).toMatch(/canceled|failed/);
    for (const release of held.splice(0)) release();
  });
});

it('replays a run that called an agent without running anything', verifies(['PRS-5.2-08', 'PRS-3.1-03'], async () => {
  const runId = await start('call agt_leaf again');
  await output(runId);
  const asked = policy.asked.length;
  const { body } = await call(ao(), `/v1/runs/${runId}:replay`, { method: 'POST' });
  expect(body, JSON.stringify(body)).toMatchObject({ run_id: runId, agreed: true, steps: 3, missing: [] });
  expect(policy.asked).toHaveLength(asked);
  expect(await childrenOf(runId)).toHaveLength(1);
}));
