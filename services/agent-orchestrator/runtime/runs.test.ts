import { beforeEach, describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import { MemoryDirectory } from '../../platform/tenancy/directory-memory.ts';
import { MemoryAgents } from '../adapters/agents-memory.ts';
import type { RunCreateRequest } from '../../../generated/types/index.ts';
import { createRuns, type Runs, type RunsDependencies } from './runs.ts';
import { AUTH, ScriptedModel, agent, runtime, says } from './runtime.fixture.ts';

const ADMIN = { ...AUTH, scopes: ['tenants:admin'] };
const QUOTAS = { AGENTOS_QUOTA_RUN_CREATE_QPS: 1_000, AGENTOS_QUOTA_CONCURRENT_RUNS: 1_000, AGENTOS_QUOTA_INVOKE_QPS: 20 };

async function setup(overrides: Partial<RunsDependencies> = {}): Promise<{ runs: Runs; directory: MemoryDirectory; agents: MemoryAgents; abandoned: string[] }> {
  const harness = runtime(new ScriptedModel(says('Hi.')));
  const directory = new MemoryDirectory();
  await directory.createTenant(ADMIN, { tenant_id: AUTH.tenant_id, name: 'Test', plan_tier: 'demo' });
  const agents = new MemoryAgents();
  await agents.put(AUTH, { ...agent(), status: 'active' });
  const abandoned: string[] = [];
  const runs = createRuns({
    runState: harness.runState, queue: harness.queue, events: harness.dependencies.events, agents, directory, quotaDefaults: QUOTAS,
    implicitAgents: true, idempotencyKeyRequired: false, idempotencyTtlHours: 24, abandon: (_tenant, runId) => abandoned.push(runId), ...overrides,
  });
  return { runs, directory, agents, abandoned };
}

const create = (runs: Runs, body: RunCreateRequest, more: { agentId?: string; idempotencyKey?: string | null } = {}) =>
  runs.create(AUTH, { agentId: 'agt_test', body, idempotencyKey: null, correlationId: 'corr_1', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...more });

const refused = async (promise: Promise<unknown>): Promise<AgentOsError> => {
  const error = await promise.then(() => new Error('It was not refused.'), (thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AgentOsError);
  return error as AgentOsError;
};

let runs: Runs;
let context: Awaited<ReturnType<typeof setup>>;
beforeEach(async () => {
  context = await setup();
  runs = context.runs;
});

describe('creating a run', () => {
  it('takes a string and an object without type as text', async () => {
    for (const input of ['hello', { text: 'hello' }, { type: 'text', text: 'hello' }] as const) {
      expect((await create(runs, { input })).run).toMatchObject({ status: 'queued', agentId: 'agt_test', lastSequence: 1 });
    }
  });

  it('fills in the agent’s limits and takes the stricter of the two', async () => {
    expect((await create(runs, { input: 'x' })).run.options).toEqual({ priority: 'normal', timeoutMs: 60_000, maxSteps: 10, streamEvents: true, dryRun: false, modelTier: null });
    const asked = await create(runs, { input: 'x', run_options: { timeout_ms: 5, max_steps: 999, priority: 'high', dry_run: true, model_tier: 'fast', stream_events: false } });
    expect(asked.run.options).toEqual({ priority: 'high', timeoutMs: 5, maxSteps: 10, streamEvents: false, dryRun: true, modelTier: 'fast' });
  });

  it('keeps labels, and the deny-list in both of its forms', async () => {
    const { run } = await create(runs, { input: 'x', context: { labels: { team: 'growth' } }, tooling: { tool_allowlist: ['a'], tool_denymap: { b: true, c: {} } } });
    expect(run).toMatchObject({ labels: { team: 'growth' }, tooling: { allowlist: ['a'], denylist: ['b', 'c'] } });
    expect((await create(runs, { input: 'x', tooling: { tool_denymap: ['d', 'd'] } })).run.tooling).toEqual({ allowlist: null, denylist: ['d'] });
  });

  it('runs an agent that nobody registered where that is allowed, and only there', async () => {
    expect((await create(runs, { input: 'hello' }, { agentId: 'my-agent' })).run).toMatchObject({ agentId: 'my-agent', agentVersion: 'implicit' });
    expect((await refused(context.agents.get(AUTH, 'my-agent'))).code).toBe('not_found');
    const strict = await setup({ implicitAgents: false });
    expect((await refused(create(strict.runs, { input: 'hello' }, { agentId: 'my-agent' }))).code).toBe('not_found');
  });

  it('refuses an inactive agent and runs a deprecated one', async () => {
    await context.agents.put(AUTH, { ...agent({ agentId: 'off' }), status: 'inactive' });
    await context.agents.put(AUTH, { ...agent({ agentId: 'old' }), status: 'deprecated' });
    expect(await refused(create(runs, { input: 'x' }, { agentId: 'off' }))).toMatchObject({ code: 'conflict', details: { reason: 'agent_inactive' } });
    expect((await create(runs, { input: 'x' }, { agentId: 'old' })).run.status).toBe('queued');
  });

  it('refuses a tenant that is not registered', async () => {
    const { runs: empty } = await setup({ directory: new MemoryDirectory() });
    expect((await refused(create(empty, { input: 'x' }))).code).toBe('tenant_unknown');
  });
});

describe('idempotency', () => {
  it('answers the same request with the same run, whatever the order of its members', async () => {
    const first = await create(runs, { input: 'x', run_options: { max_steps: 3, dry_run: true }, idempotency_key: 'k' });
    const again = await create(runs, { idempotency_key: 'k', run_options: { dry_run: true, max_steps: 3 }, input: 'x' });
    expect(first.replayed).toBe(false);
    expect(again).toMatchObject({ replayed: true, run: { runId: first.run.runId } });
  });

  it('refuses another body under the same key', async () => {
    const first = await create(runs, { input: 'x', idempotency_key: 'k' });
    expect(await refused(create(runs, { input: 'y', idempotency_key: 'k' }))).toMatchObject({ code: 'conflict', details: { reason: 'idempotency_key_reused', run_id: first.run.runId } });
  });

  it('takes the key of the header, and the body’s where both are', async () => {
    const first = await create(runs, { input: 'x' }, { idempotencyKey: 'h' });
    expect((await create(runs, { input: 'x' }, { idempotencyKey: 'h' })).run.runId).toBe(first.run.runId);
    expect((await create(runs, { input: 'x', idempotency_key: 'b' }, { idempotencyKey: 'h' })).run.idempotencyKey).toBe('b');
  });

  it('makes a key where there is none, unless one is required', async () => {
    const first = await create(runs, { input: 'x' });
    expect(first.run.idempotencyKey).toMatch(/^idem_/);
    expect((await create(runs, { input: 'x', idempotency_key: first.run.idempotencyKey! })).replayed).toBe(true);
    const strict = await setup({ idempotencyKeyRequired: true });
    expect(await refused(create(strict.runs, { input: 'x' }))).toMatchObject({ code: 'invalid_request', details: { reason: 'idempotency_key_required' } });
  });
});

describe('quotas', () => {
  it('says that too many run at once, and lets a replay through', async () => {
    await context.directory.updateTenant(ADMIN, AUTH.tenant_id, { quotas: { runs: { max_concurrent_runs: 1 } } });
    await create(runs, { input: 'x', idempotency_key: 'k' });
    expect(await refused(create(runs, { input: 'y' }))).toMatchObject({ code: 'quota_exceeded', retryable: true, details: { limit: 1, used: 1, tenant_id: AUTH.tenant_id } });
    expect((await create(runs, { input: 'x', idempotency_key: 'k' })).replayed).toBe(true);
  });

  it('says that runs are created too fast, and when to come back', async () => {
    await context.directory.updateTenant(ADMIN, AUTH.tenant_id, { quotas: { runs: { run_create_qps: 0.5, run_create_burst: 1 } } });
    await create(runs, { input: 'x' });
    const error = await refused(create(runs, { input: 'y' }));
    expect(error).toMatchObject({ code: 'rate_limited', details: { limit: 0.5 } });
    expect(error.retryAfterSeconds).toBe(2);
  });
});

describe('canceling', () => {
  it('ends a queued run at once, tells the workers, and is refused the second time', async () => {
    const { run } = await create(runs, { input: 'x' });
    expect(await runs.cancel(AUTH, run.runId)).toMatchObject({ status: 'canceled', completedAt: expect.any(String) as string });
    expect(context.abandoned).toEqual([run.runId]);
    expect(await refused(runs.cancel(AUTH, run.runId))).toMatchObject({ code: 'invalid_state_transition', details: { status: 'canceled' } });
    expect((await refused(runs.cancel({ ...AUTH, tenant_id: 'tnt_other' }, run.runId))).code).toBe('not_found');
  });
});
