import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import type { RunStatePort } from '../ports/run-state.ts';
import type { ToolPort } from '../ports/tool.ts';
import { MemoryRunState } from '../adapters/run-state-memory.ts';
import { MemoryRunStore } from '../adapters/run-store-memory.ts';
import { runCanceled } from '../events/drafts.ts';
import { executeRun } from './executor.ts';
import { toolCallIdOf } from './ids.ts';
import { AUTH, CLAIM, ScriptedModel, agent, newRun, runtime, says, toolCalls } from './runtime.fixture.ts';

const never = new AbortController().signal;
const echo = (text: string) => toolCalls({ tool: 'tool.echo', input: { text } });

describe('a run', () => {
  it('of one model call tells everything in seven events', async () => {
    const model = new ScriptedModel(says('Hi.'));
    const harness = runtime(model);
    const runId = await harness.create();
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('completed');
    expect(await harness.types(runId)).toEqual(['run.created', 'run.started', 'run.step.started', 'model.requested', 'model.completed', 'run.step.completed', 'run.completed']);
    expect(await harness.runState.getRun(AUTH, runId)).toMatchObject({ status: 'completed', output: { type: 'text', text: 'Hi.' }, summary: { stepsTotal: 1, modelCallsTotal: 1, toolCallsTotal: 0 }, step: 2 });
    expect(model.requests[0]).toMatchObject({ operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'system' }, { role: 'user', content: 'Hello.' }], tool_choice: 'auto' } });
  });

  it('calls what the model asks for, in its order, and tells it the results', async () => {
    const model = new ScriptedModel(toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: 7 } }, { tool: 'kv_get', input: { key: 'k' } }), says('Seven.'));
    const harness = runtime(model);
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(model.requests[1]!.input).toMatchObject({ messages: [{}, {}, { role: 'assistant' }, { role: 'tool', content: '{"key":"k","stored":true}' }, { role: 'tool', content: '{"key":"k","found":true,"value":7}' }] });
    expect(await harness.runState.getRun(AUTH, runId)).toMatchObject({ status: 'completed', summary: { stepsTotal: 4, modelCallsTotal: 2, toolCallsTotal: 2 } });
  });

  it('needs one transition more than it makes calls', async () => {
    const harness = runtime(new ScriptedModel(echo('a'), says('b')));
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect((await harness.runState.getRun(AUTH, runId)).step).toBe(4);
  });

  it('has stored the request of a tool call before the call is made', async () => {
    const seen: string[][] = [];
    const harness = runtime(new ScriptedModel(echo('a'), says('b')));
    const tools: ToolPort = {
      capabilities: () => harness.dependencies.tools.capabilities(),
      list: (auth) => harness.dependencies.tools.list(auth),
      async invoke(auth, invocation) {
        seen.push((await harness.types((await harness.runState.listRuns(AUTH, { limit: 1 })).runs[0]!.runId)).slice(-2));
        return harness.dependencies.tools.invoke(auth, invocation);
      },
    };
    await harness.create();
    await executeRun({ ...harness.dependencies, tools }, await harness.claim(), never);
    expect(seen).toEqual([['run.step.started', 'tool.call.requested']]);
  });

  it('asks the model while its request is still being stored', async () => {
    const store = new MemoryRunStore();
    const inner = new MemoryRunState(store);
    const order: string[] = [];
    let release: () => void = () => undefined;
    const slow: RunStatePort = {
      capabilities: () => inner.capabilities(),
      createRun: (auth, run) => inner.createRun(auth, run),
      getRun: (auth, runId) => inner.getRun(auth, runId),
      getWork: (auth, runId) => inner.getWork(auth, runId),
      deleteExpired: (worker, query) => inner.deleteExpired(worker, query),
      listRuns: (auth, query) => inner.listRuns(auth, query),
      cancelRun: (auth, runId, draft) => inner.cancelRun(auth, runId, draft),
      async advance(auth, lease, transition) {
        order.push(`write ${transition.expectedStep}`);
        if (transition.expectedStep === 0) await new Promise<void>((resolve) => (release = resolve));
        return inner.advance(auth, lease, transition);
      },
    };
    const model = new ScriptedModel(async () => {
      order.push('model');
      release();
      return says('Hi.');
    });
    const harness = runtime(model, { runState: slow });
    await slow.createRun(AUTH, newRun());
    const [claimed] = store.claim(CLAIM);
    expect(await executeRun(harness.dependencies, claimed!, never)).toBe('completed');
    expect(order).toEqual(['write 0', 'model', 'write 1']);
  });

  it('plans without effects when it is dry', async () => {
    const model = new ScriptedModel(says('never'));
    const harness = runtime(model, { entitlement: async () => ['tool.echo'] });
    const runId = await harness.create({ options: { dryRun: true } });
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('completed');
    expect(model.checks).toMatchObject([{ content: { text: 'Be brief.\nHello.' } }]);
    expect(model.requests).toEqual([]);
    expect(await harness.types(runId)).toEqual(['run.created', 'run.started', 'run.step.started', 'run.step.completed', 'run.completed']);
    const { output, summary } = await harness.runState.getRun(AUTH, runId);
    expect(output!.text).toMatch(/tier:balanced.*tool\.echo\./);
    expect(output).toMatchObject({
      type: 'plan',
      plan: {
        model_ref: 'tier:balanced', policy_outcome: { decision: 'allowed' }, tools_permitted: ['tool.echo'], limits: { max_steps: 10, timeout_ms: 60_000 },
        tools_denied: [{ tool_id: 'tool.kv.put', reason: 'not_entitled' }, { tool_id: 'tool.kv.get', reason: 'not_entitled' }],
      },
    });
    expect(summary).toMatchObject({ modelCallsTotal: 0, toolCallsTotal: 0 });
  });
});

describe('limits', () => {
  it('stops an endless loop at max_steps', async () => {
    const harness = runtime(new ScriptedModel(echo('again')));
    const runId = await harness.create({ options: { maxSteps: 5 } });
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('failed');
    expect(await harness.runState.getRun(AUTH, runId)).toMatchObject({ status: 'failed', error: { code: 'max_steps_exceeded' }, summary: { stepsTotal: 5 } });
  });

  it('fails with timeout when a model takes longer than the run has', async () => {
    const slow = new ScriptedModel((_request, { timeoutMs }) => new Promise((_, reject) => setTimeout(() => reject(new AgentOsError('timeout', { message: 'Too slow.' })), timeoutMs)));
    const harness = runtime(slow);
    const runId = await harness.create({ options: { timeoutMs: 50 } });
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(await harness.runState.getRun(AUTH, runId)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
  });
});

describe('permission', () => {
  it('refuses a forbidden tool whatever the model says, and tells it', async () => {
    for (const [overrides, reason] of [
      [{ tooling: { allowlist: null, denylist: ['tool.echo'] } }, 'denylisted'],
      [{ tooling: { allowlist: ['tool.kv.get'], denylist: [] } }, 'not_in_allowlist'],
      [{ agent: agent({ tools: [] }) }, 'not_an_agent_tool'],
    ] as const) {
      const model = new ScriptedModel(echo('x'), says('Understood.'));
      const harness = runtime(model);
      const runId = await harness.create(overrides);
      await executeRun(harness.dependencies, await harness.claim(), never);
      const denied = (await harness.events(runId)).find((event) => event.type === 'agentos.tool.call.completed')!;
      expect(denied.payload).toMatchObject({ status: 'error', output: null, error: { code: 'forbidden', details: { reason } } });
      expect(JSON.stringify(model.requests[1]!.input)).toContain('forbidden');
      expect(JSON.stringify(model.requests[0]!.input)).not.toContain('"tool_id":"tool.echo"');
      expect((await harness.runState.getRun(AUTH, runId)).status).toBe('completed');
    }
  });

  it('asks for the entitlement at each call, so that a change holds at once', async () => {
    let entitled: readonly string[] = ['tool.echo'];
    const model = new ScriptedModel(async () => { entitled = []; return echo('x'); }, says('Done.'));
    const harness = runtime(model, { entitlement: async () => entitled });
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect((await harness.events(runId)).find((event) => event.type === 'agentos.tool.call.completed')!.payload).toMatchObject({ error: { code: 'forbidden', details: { reason: 'not_entitled' } } });
  });

  it('tells the model of a tool that there is not', async () => {
    const harness = runtime(new ScriptedModel(toolCalls({ tool: 'tool.absent', input: {} }), says('Fine.')));
    const runId = await harness.create({ agent: agent({ tools: ['tool.absent'] }) });
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect((await harness.events(runId)).find((event) => event.type === 'agentos.tool.call.completed')!.payload).toMatchObject({ error: { code: 'not_found' } });
  });
});

describe('failures', () => {
  const unavailable = new AgentOsError('dependency_unavailable', { message: 'Away.', details: {} });

  it('tries a model again that cannot be reached, under the same request', async () => {
    const model = new ScriptedModel(unavailable, unavailable, says('Back.'));
    const harness = runtime(model);
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect((await harness.runState.getRun(AUTH, runId)).status).toBe('completed');
    expect(new Set(model.requests.map((request) => request.request_id)).size).toBe(1);
  });

  it('fails the run, naming Model Policy, when it stays away', async () => {
    const harness = runtime(new ScriptedModel(unavailable));
    const runId = await harness.create();
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('failed');
    expect(await harness.types(runId)).toEqual(['run.created', 'run.started', 'run.step.started', 'model.requested', 'model.completed', 'run.step.completed', 'run.failed']);
    expect((await harness.runState.getRun(AUTH, runId)).error).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { service: 'model-policy' } });
  });

  it('does not repeat a call that was refused', async () => {
    const model = new ScriptedModel(new AgentOsError('policy_blocked', { message: 'No.', details: { policy_outcome: { decision: 'blocked', reasons: ['x'], redactions: [] } } }));
    const harness = runtime(model);
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(model.requests).toHaveLength(1);
    expect((await harness.runState.getRun(AUTH, runId)).error!.code).toBe('policy_blocked');
    expect((await harness.events(runId)).find((event) => event.type === 'agentos.model.completed')!.payload).toMatchObject({ status: 'error', policy_outcome: { decision: 'blocked' } });
  });

  it('never tells what broke inside', async () => {
    const harness = runtime(new ScriptedModel(new Error('password=hunter2 at /srv/secret.ts')));
    const runId = await harness.create({ agent: agent({ retry: { modelAttempts: 1, toolAttempts: 1 } }) });
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(JSON.stringify([await harness.runState.getRun(AUTH, runId), await harness.events(runId)])).not.toContain('hunter2');
  });

  it('tells the model what a tool refused, and goes on', async () => {
    const model = new ScriptedModel(toolCalls({ tool: 'tool.echo', input: { wrong: 1 } }), says('Sorry.'));
    const harness = runtime(model);
    const runId = await harness.create();
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(JSON.stringify(model.requests[1]!.input)).toContain('invalid_request');
    expect((await harness.runState.getRun(AUTH, runId)).status).toBe('completed');
  });

  it('tries a tool again that timed out, under the same call id, as often as the agent says', async () => {
    const ids: string[] = [];
    const harness = runtime(new ScriptedModel(echo('x'), says('Done.')));
    const tools: ToolPort = {
      capabilities: () => harness.dependencies.tools.capabilities(),
      list: (auth) => harness.dependencies.tools.list(auth),
      invoke: async (_auth, { toolCallId }) => {
        ids.push(toolCallId);
        throw new AgentOsError('timeout', { message: 'Too slow.' });
      },
    };
    const runId = await harness.create({ agent: agent({ onToolFailure: 'retry' }) });
    await executeRun({ ...harness.dependencies, tools }, await harness.claim(), never);
    expect(ids).toEqual([toolCallIdOf(runId, 2), toolCallIdOf(runId, 2)]);
  });
});

describe('taking over', () => {
  /** Executes until the n-th transition, then dies without a word, and lets another worker take the run. */
  it('goes on exactly where the log ends, wherever the worker died', async () => {
    const script = () => new ScriptedModel(toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: 1 } }, { tool: 'tool.kv.get', input: { key: 'k' } }), says('One.'));
    const reference = runtime(script());
    const referenceId = await reference.create({ runId: 'run_same' });
    await executeRun(reference.dependencies, await reference.claim(), never);
    const expected = (await reference.events(referenceId)).map((event) => [event.sequence, event.eventId, event.type]);

    for (let dieAt = 0; dieAt <= 4; dieAt += 1) {
      for (const committed of [false, true]) {
        let nowMs = Date.now();
        const first = script();
        const harness = runtime(first, {}, () => nowMs);
        const runId = await harness.create({ runId: 'run_same' });
        const dying: RunStatePort = {
          ...bound(harness.runState),
          async advance(auth, lease, transition) {
            if (transition.expectedStep < dieAt) return harness.runState.advance(auth, lease, transition);
            if (committed) await harness.runState.advance(auth, lease, transition);
            throw new Error('killed');
          },
        };
        await expect(executeRun({ ...harness.dependencies, runState: dying }, await harness.claim(), never)).rejects.toThrow('killed');
        nowMs += 10_001;
        const ended = committed && dieAt === 4;
        if (!ended) {
          const model = new ScriptedModel(...(first.requests.length > 1 || dieAt > 1 || (dieAt === 1 && committed) ? [says('One.')] : [toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: 1 } }, { tool: 'tool.kv.get', input: { key: 'k' } }), says('One.')]));
          expect(await executeRun({ ...harness.dependencies, model }, await harness.claim(), never)).toBe('completed');
        }
        const events = (await harness.events(runId)).map((event) => [event.sequence, event.eventId, event.type]);
        expect(events, `died at transition ${dieAt}, committed ${committed}`).toEqual(expected);
      }
    }
  });

  it('stops silently when its lease was taken', async () => {
    let nowMs = Date.now();
    const model = new ScriptedModel(async () => {
      nowMs += 60_000;
      await harness.claim();
      return says('Late.');
    });
    const harness = runtime(model, {}, () => nowMs);
    const runId = await harness.create({ options: { timeoutMs: 3_600_000 }, agent: agent({ limits: { ...agent().limits, timeoutMs: 3_600_000 } }) });
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('fenced');
    expect(await harness.types(runId)).not.toContain('model.completed');
  });

  it('stops silently when the run was canceled meanwhile', async () => {
    const model = new ScriptedModel(async () => {
      await harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'));
      return says('Late.');
    });
    const harness = runtime(model);
    const runId = await harness.create();
    expect(await executeRun(harness.dependencies, await harness.claim(), never)).toBe('fenced');
    expect((await harness.types(runId)).at(-1)).toBe('run.canceled');
  });

  it('abandons its calls when it is told to stop, and writes nothing more', async () => {
    const stop = new AbortController();
    let abandoned = false;
    const model = new ScriptedModel((_request, { signal }) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => { abandoned = true; reject(new Error('aborted')); });
      setTimeout(() => stop.abort(), 5);
    }));
    const harness = runtime(model);
    const runId = await harness.create();
    expect(await executeRun(harness.dependencies, await harness.claim(), stop.signal)).toBe('aborted');
    expect(abandoned).toBe(true);
    expect((await harness.types(runId)).at(-1)).toBe('model.requested');
  });

  it('repeats a write whose answer was lost, and takes it as done', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    let lost = 0;
    const forgetful: RunStatePort = {
      ...bound(harness.runState),
      async advance(auth, lease, transition) {
        const result = await harness.runState.advance(auth, lease, transition);
        if (result.outcome !== 'applied') return result;
        lost += 1;
        throw new AgentOsError('dependency_unavailable', { message: 'The connection broke during COMMIT.' });
      },
    };
    const runId = await harness.create();
    expect(await executeRun({ ...harness.dependencies, runState: forgetful }, await harness.claim(), never)).toBe('completed');
    expect(lost).toBe(2);
    expect((await harness.events(runId)).map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });
});

function bound(port: RunStatePort): RunStatePort {
  return {
    capabilities: () => port.capabilities(),
    createRun: (auth, run) => port.createRun(auth, run),
    getRun: (auth, runId) => port.getRun(auth, runId),
    getWork: (auth, runId) => port.getWork(auth, runId),
    deleteExpired: (worker, query) => port.deleteExpired(worker, query),
    listRuns: (auth, query) => port.listRuns(auth, query),
    cancelRun: (auth, runId, draft) => port.cancelRun(auth, runId, draft),
    advance: (auth, lease, transition) => port.advance(auth, lease, transition),
  };
}
