/** How runs end, as their log lines tell it, and what a tool that takes too long does to them; on memory stores, over HTTP. */
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { createIdentity } from '../platform/auth/identity.ts';
import { AgentOsError } from '../platform/errors.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { createPeerInformation } from './adapters/peer-information.ts';
import { BuiltinTools } from './adapters/tool-builtin.ts';
import { executeRun } from './runtime/executor.ts';
import { AUTH, ScriptedModel, agent, runtime, says, toolCalls } from './runtime/runtime.fixture.ts';
import { seedNode } from './seed.ts';
import { createOrchestrator, type Orchestrator } from './service.ts';
import { openMemoryStores } from './stores.ts';
import type { ToolPort } from './ports/tool.ts';

const QUOTAS = { AGENTOS_QUOTA_RUN_CREATE_QPS: 1_000, AGENTOS_QUOTA_CONCURRENT_RUNS: 1_000, AGENTOS_QUOTA_INVOKE_QPS: 20 };
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const logged: Record<string, unknown>[] = [];
let orchestrator: Orchestrator;
let url: string;

const model = new ScriptedModel(async (request, { signal }) => {
  const { messages } = request.input as { messages: { role: string; content: string }[] };
  const last = messages.at(-1)!.content;
  if (last === 'wait') await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  if (last === 'refuse') throw new AgentOsError('policy_blocked', { message: 'No.', details: {} });
  return last === 'tool' ? toolCalls({ tool: 'tool.echo', input: { text: 'x' } }) : says('Hi.');
});

beforeAll(async () => {
  const stores = openMemoryStores();
  await seedNode(stores.directory, stores.agents);
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) });
  orchestrator = createOrchestrator({
    role: 'all', stores, model, tools: new BuiltinTools(stores.memory), log,
    identity: createIdentity({ mode: 'demo', directory: stores.directory, defaultTenant: 'tnt_demo' }),
    peers: createPeerInformation({ baseUrl: 'http://127.0.0.1:9', credentials: async () => ({}) }),
    metrics: createMetrics({ service: 'agent-orchestrator', process: false }), checks: {},
    quotaDefaults: QUOTAS, implicitAgents: true, idempotencyKeyRequired: false, idempotencyTtlHours: 24, worker: {}, contractCheck: true, limits: { stopGraceMs: 0 },
  });
  url = await orchestrator.server.listen(0);
});
afterAll(() => orchestrator.close());

async function post(path: string, body?: unknown): Promise<{ run: { run_id: string } }> {
  const headers = { 'content-type': 'application/json', 'x-correlation-id': 'corr_of_the_caller', traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01` };
  return (await (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body ?? {}) })).json()) as { run: { run_id: string } };
}

const linesOf = (runId: string) => logged.filter((line) => line['msg'] === 'Run ended.' && line['run_id'] === runId);

describe('the log line of a run that ended', () => {
  it.each([
    ['hello', 'completed', 1],
    ['tool', 'completed', 3],
    ['refuse', 'failed', 1],
  ])('tells of %j: %s after %i steps', verifies(['PRS-9.1-03'], async (input: string, status: string, steps: number) => {
    const { run } = await post('/v1/agents/agt_sample_echo_v1/runs', { input });
    await expect.poll(() => linesOf(run.run_id).length, { timeout: 5_000, interval: 5 }).toBe(1);
    expect(linesOf(run.run_id)[0]).toMatchObject({
      level: 30, run_id: run.run_id, tenant_id: 'tnt_demo', agent_id: 'agt_sample_echo_v1', status, steps,
      trace_id: TRACE_ID, correlation_id: 'corr_of_the_caller', duration_ms: expect.any(Number) as number,
    });
    expect(JSON.stringify(linesOf(run.run_id)), 'no content').not.toContain(input);
  }));

  it('tells of a cancel, once', async () => {
    const { run } = await post('/v1/agents/agt_sample_echo_v1/runs', { input: 'wait' });
    await post(`/v1/runs/${run.run_id}:cancel`);
    await post(`/v1/runs/${run.run_id}:cancel`);
    await expect.poll(() => orchestrator.worker!.active, { timeout: 5_000, interval: 5 }).toBe(0);
    expect(linesOf(run.run_id)).toMatchObject([{ status: 'canceled', tenant_id: 'tnt_demo', trace_id: TRACE_ID, correlation_id: 'corr_of_the_caller' }]);
  });
});

describe('metrics of runs', () => {
  it('count ends, successes and failures, and show what waits and what runs', verifies(['PRS-9.2-01', 'PRS-9.2-04'], async () => {
    const metric = async (name: string): Promise<number> => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))].reduce((sum, match) => sum + Number(match[1]), 0);
    };
    const NAMES = ['agentos_run_count', 'agentos_run_success', 'agentos_run_failure'] as const;
    const before = await Promise.all(NAMES.map(metric));
    for (const input of ['hello', 'hello', 'refuse']) await post('/v1/agents/agt_sample_echo_v1/runs', { input });
    await expect.poll(async () => (await Promise.all(NAMES.map(metric))).map((value, index) => value - before[index]!), { timeout: 5_000 }).toEqual([3, 2, 1]);
    const { run } = await post('/v1/agents/agt_sample_echo_v1/runs', { input: 'wait' });
    await expect.poll(() => metric('agentos_active_runs'), { timeout: 5_000 }).toBe(1);
    await post(`/v1/runs/${run.run_id}:cancel`);
    await expect.poll(() => metric('agentos_active_runs'), { timeout: 5_000 }).toBe(0);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^agentos_queue_depth\{[^}]*\} 0$/m);
  }));
});

describe('metrics of steps', () => {
  it('tell how long steps and tools took, and how many tools failed', verifies(['PRS-9.2-03'], async () => {
    const counts = async (): Promise<number[]> => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const patterns = ['agentos_step_latency_ms_count\\{[^}]*step_kind="model"[^}]*\\}', 'agentos_step_latency_ms_count\\{[^}]*step_kind="tool"[^}]*\\}', 'agentos_tool_latency_ms_count(?:\\{[^}]*\\})?', 'agentos_tool_errors_total(?:\\{[^}]*\\})?'];
      return patterns.map((pattern) => Number(new RegExp(`^${pattern} (\\d+)$`, 'm').exec(text)?.[1] ?? 0));
    };
    const before = await counts();
    await post('/v1/agents/agt_sample_echo_v1/runs', { input: 'tool' });
    await post('/v1/agents/agt_sample_echo_v1/runs', { input: 'tool', tooling: { tool_denymap: ['tool.echo'] } });
    await expect.poll(async () => (await counts()).map((count, index) => count - before[index]!), { timeout: 5_000 }).toEqual([4, 2, 2, 1]);
  }));
});

describe('a tool that takes longer than it may', () => {
  it.each([
    ['tell_model', 1, 'completed'],
    ['retry', 3, 'completed'],
    ['abort', 1, 'failed'],
  ] as const)('ends in a completed event with the error, and the agent decides what follows: %s', verifies(['HLD-10.1-02'], async (onToolFailure: 'tell_model' | 'retry' | 'abort', attempts: number, end: string) => {
    const scripted = new ScriptedModel(toolCalls({ tool: 'tool.echo', input: { text: 'x' } }), says('Without it, then.'));
    const harness = runtime(scripted);
    let invoked = 0;
    const tools: ToolPort = {
      capabilities: () => harness.dependencies.tools.capabilities(),
      list: (auth) => harness.dependencies.tools.list(auth),
      invoke: (_auth, { timeoutMs }) => {
        invoked += 1;
        return new Promise((_, reject) => setTimeout(() => reject(new AgentOsError('timeout', { message: `tool.echo took longer than ${timeoutMs} ms.`, details: { timeout_ms: timeoutMs } })), timeoutMs));
      },
    };
    const limits = { ...agent().limits, toolTimeoutMs: 20 };
    const runId = await harness.create({ agent: agent({ limits, onToolFailure, retry: { ...agent().retry, modelAttempts: 1, toolAttempts: 3 } }) });
    expect(await executeRun({ ...harness.dependencies, tools }, await harness.claim(), new AbortController().signal)).toBe(end);
    expect(invoked).toBe(attempts);
    const events = await harness.events(runId);
    expect(events.filter((event) => event.type === 'agentos.tool.call.completed').map((event) => event.payload)).toMatchObject([
      { tool_id: 'tool.echo', status: 'error', output: null, error: { code: 'timeout', retryable: true, details: { timeout_ms: 20 } } },
    ]);
    if (end === 'failed') {
      expect((await harness.runState.getRun(AUTH, runId)).status).toBe('failed');
      return;
    }
    expect(JSON.stringify(scripted.requests[1]!.input), 'the model is told').toContain('timeout');
    expect(await harness.runState.getRun(AUTH, runId)).toMatchObject({ status: 'completed', output: { text: 'Without it, then.' } });
  }));
});
