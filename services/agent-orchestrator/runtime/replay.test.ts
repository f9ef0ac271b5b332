import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import { executeRun } from './executor.ts';
import { replayRun, type ReplayedEvent, type ReplayReport } from './replay.ts';
import { AUTH, ScriptedModel, agent, runtime, says, toolCalls, type RuntimeHarness } from './runtime.fixture.ts';

const never = new AbortController().signal;

async function recorded(model: ScriptedModel, run: Parameters<RuntimeHarness['create']>[0] = {}) {
  const harness = runtime(model);
  const runId = await harness.create(run);
  await executeRun(harness.dependencies, await harness.claim(), never);
  return { work: await harness.runState.getWork(AUTH, runId), events: [...(await harness.events(runId))], model };
}

const kinds = (report: ReplayReport): string[] => report.decisions.map((decision) => `${decision.step} ${decision.kind} ${decision.agreed}`);
const without = (events: readonly ReplayedEvent[], type: string, member: string): ReplayedEvent[] =>
  events.map((event) => (event.type === type ? { ...event, payload: Object.fromEntries(Object.entries(event.payload).filter(([name]) => name !== member)) } : event));
const twoTools = (): ScriptedModel => new ScriptedModel(toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: 7 } }, { tool: 'kv_get', input: { key: 'k' } }), says('Seven.'));

describe('replay', () => {
  it('takes the same steps as the run did, and calls nobody', async () => {
    const { work, events, model } = await recorded(twoTools());
    const calls = model.requests.length;
    const report = replayRun(work, events);
    expect(report, JSON.stringify(report)).toMatchObject({ agreed: true, steps: 4, missing: [] });
    expect(kinds(report)).toEqual(['1 model true', '2 tool true', '3 tool true', '4 model true', '4 finish true']);
    expect(model.requests).toHaveLength(calls);
  });

  it('agrees with failed, refused, limited, timed out, dry and conversational runs', async () => {
    const cases: [string, ScriptedModel, Parameters<RuntimeHarness['create']>[0]][] = [
      ['model failed', new ScriptedModel(new AgentOsError('policy_blocked', { message: 'No.' })), {}],
      ['model timed out', new ScriptedModel(new AgentOsError('timeout', { message: 'Late.' })), {}],
      ['tool refused', new ScriptedModel(toolCalls({ tool: 'tool.text.stats', input: {} }), says('Then not.')), {}],
      ['unknown tool', new ScriptedModel(toolCalls({ tool: 'nonsense', input: {} }), says('Then not.')), {}],
      ['tool failed, abort', new ScriptedModel(toolCalls({ tool: 'tool.echo', input: {} })), { agent: agent({ onToolFailure: 'abort' }) }],
      ['out of steps', new ScriptedModel(toolCalls({ tool: 'tool.echo', input: { text: 'x' } })), { options: { maxSteps: 3 } }],
      ['dry', new ScriptedModel(says('never')), { options: { dryRun: true } }],
      ['conversation', new ScriptedModel(says('Yes.')), { input: { type: 'messages', text: 'And?', messages: [{ role: 'user', content: 'A' }, { role: 'assistant', content: 'B' }, { role: 'user', content: 'And?' }] } }],
      ['forced tool', new ScriptedModel(toolCalls({ tool: 'echo', input: { text: 'x' } }), says('x')), { agent: agent({ toolChoice: 'tool.echo' }) }],
      ['no time', new ScriptedModel(says('late')), { options: { timeoutMs: 0 } }],
    ];
    for (const [name, model, run] of cases) {
      const { work, events } = await recorded(model, run);
      expect(work.status, name).not.toBe('running');
      const report = replayRun(work, events);
      expect(report, `${name} ${JSON.stringify(report)}`).toMatchObject({ agreed: true, missing: [] });
      expect(report.decisions.length, name).toBeGreaterThan(0);
    }
  });

  it('replays a run under way as far as it has come', async () => {
    const { work, events } = await recorded(twoTools());
    const report = replayRun({ ...work, status: 'running', lastSequence: 9 }, events.slice(0, 9));
    expect(report).toMatchObject({ agreed: true, missing: [] });
  });

  it('notices another input, another agent, another tool input and another output', async () => {
    const { work, events } = await recorded(twoTools());
    const disagreeing = (changed: typeof work, log: readonly ReplayedEvent[] = events): string[] => {
      const report = replayRun(changed, log);
      expect(report).toMatchObject({ agreed: false, missing: [] });
      return report.decisions.filter((decision) => !decision.agreed).map((decision) => `${decision.step} ${decision.kind}`);
    };
    expect(disagreeing({ ...work, input: { type: 'text', text: 'Something else.' } })).toEqual(['1 model', '4 model']);
    expect(disagreeing({ ...work, agent: { ...work.agent, modelRef: 'tier:fast' } })).toEqual(['1 model', '4 model']);
    expect(disagreeing({ ...work, options: { ...work.options, maxSteps: 2 } })).toEqual(['3 tool', '4 model']);
    const edit = (type: string, payload: object): ReplayedEvent[] => events.map((event) => (event.type === type ? { ...event, payload: { ...event.payload, ...payload } } : event));
    expect(disagreeing(work, edit('agentos.tool.call.requested', { input: { key: 'other' } }))).toEqual(['2 tool', '3 tool']);
    expect(disagreeing(work, edit('agentos.run.completed', { output: { type: 'text', text: 'Eight.' } }))).toEqual(['4 finish']);
    expect(disagreeing(work, events.map((event) => (event.sequence === 3 ? { ...event, eventId: 'evt_other' } : event)))).toEqual(['1 model']);
  });

  it('says what a log lacks', async () => {
    const { work, events } = await recorded(twoTools());
    const missing = (log: readonly ReplayedEvent[]): string[] => replayRun(work, log).missing.map(({ sequence, what }) => `${sequence ?? '-'} ${what}`);
    expect(missing(events.filter((event) => event.sequence !== 5))).toContain('5 the event itself');
    expect(missing(without(events, 'agentos.model.requested', 'input_hash'))[0]).toBe('4 input_hash of agentos.model.requested');
    expect(missing(without(events, 'agentos.model.completed', 'output'))[0]).toBe('5 output of agentos.model.completed');
    expect(missing(without(events, 'agentos.tool.call.requested', 'input'))[0]).toMatch(/input of agentos.tool.call.requested/);
    expect(missing(events.slice(0, -1))).toEqual([`${events.length} the event itself`, '- the event that ended the run, although its status is completed']);
    expect(replayRun(work, events.slice(0, -1)).agreed).toBe(false);
  });
});
