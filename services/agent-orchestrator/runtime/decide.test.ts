import { describe, expect, it } from 'vitest';
import { deadlineMs, decide, effectiveLimits, modelRefOf } from './decide.ts';
import { startProgress, type Progress } from './progress.ts';
import { agent, work } from './runtime.fixture.ts';

const START = Date.parse('2026-01-01T00:00:01.000Z');
const progress = (overrides: Partial<Progress> = {}): Progress => ({ ...startProgress(work()), ...overrides });
const CALL = { callId: 'c', tool: 'tool.echo', name: 'echo', input: {} };
const FAILURE = { code: 'policy_blocked', message: 'No.', retryable: false, details: {} };

describe('the decision', () => {
  it('asks the model first, then makes its calls in order, then asks again', () => {
    expect(decide(work(), progress(), START)).toEqual({ kind: 'call_model', step: 1, resumed: false, toolChoice: 'auto' });
    expect(decide(work(), progress({ steps: 1, outstanding: [CALL, { ...CALL, callId: 'd' }] }), START)).toEqual({ kind: 'call_tool', step: 2, resumed: false, call: CALL });
    expect(decide(work(), progress({ steps: 3 }), START)).toMatchObject({ kind: 'call_model', step: 4 });
  });

  it('completes with the answer, whatever the limits say by then', () => {
    const answer = { type: 'text', text: 'x' };
    expect(decide(work(), progress({ answer, steps: 99 }), START + 1e9)).toEqual({ kind: 'complete', output: answer });
  });

  it('fails with what the model call failed with', () => {
    expect(decide(work(), progress({ failure: FAILURE }), START)).toEqual({ kind: 'fail', error: FAILURE });
  });

  it('fails when the time is used up, to the millisecond', () => {
    const run = work({ options: { timeoutMs: 5_000 } });
    expect(decide(run, progress(), START + 4_999).kind).toBe('call_model');
    expect(decide(run, progress(), START + 5_000)).toMatchObject({ kind: 'fail', error: { code: 'timeout', retryable: true, details: { timeout_ms: 5_000 } } });
  });

  it('fails when the steps are used up', () => {
    const run = work({ options: { maxSteps: 2 } });
    expect(decide(run, progress({ steps: 1, outstanding: [CALL] }), START).kind).toBe('call_tool');
    expect(decide(run, progress({ steps: 2 }), START)).toMatchObject({ kind: 'fail', error: { code: 'max_steps_exceeded', details: { max_steps: 2 } } });
  });

  it('makes the call of an open step again, under its number', () => {
    expect(decide(work(), progress({ steps: 1, open: { kind: 'model', number: 1, requested: true }, modelCalls: 1 }), START)).toEqual({ kind: 'call_model', step: 1, resumed: true, toolChoice: 'auto' });
    expect(decide(work(), progress({ steps: 1, open: { kind: 'model', number: 1, requested: false } }), START)).toMatchObject({ kind: 'call_model', resumed: false });
    expect(decide(work(), progress({ steps: 2, open: { kind: 'tool', number: 2, requested: true }, outstanding: [CALL] }), START)).toEqual({ kind: 'call_tool', step: 2, resumed: true, call: CALL });
    expect(decide(work(), progress({ steps: 1, open: { kind: 'plan', number: 1, requested: false } }), START)).toEqual({ kind: 'plan', step: 1 });
  });

  it('lets an open step end although it was the last', () => {
    expect(decide(work({ options: { maxSteps: 1 } }), progress({ steps: 1, open: { kind: 'model', number: 1, requested: true }, modelCalls: 1 }), START).kind).toBe('call_model');
  });

  it('plans where nothing may be done', () => {
    expect(decide(work({ options: { dryRun: true } }), progress(), START)).toEqual({ kind: 'plan', step: 1 });
  });

  it('stops at a terminal event', () => {
    expect(decide(work(), progress({ ended: true, failure: FAILURE }), START)).toEqual({ kind: 'stop' });
  });

  it('forces the agent’s first tool in the first model call alone, also when that call is resumed', () => {
    const run = work({ agent: agent({ toolChoice: 'tool.echo' }) });
    expect(decide(run, progress(), START)).toMatchObject({ toolChoice: 'tool.echo' });
    expect(decide(run, progress({ steps: 1, modelCalls: 1, open: { kind: 'model', number: 1, requested: true } }), START)).toMatchObject({ toolChoice: 'tool.echo' });
    expect(decide(run, progress({ steps: 2, modelCalls: 1, toolCalls: 1 }), START)).toMatchObject({ toolChoice: 'auto' });
    expect(decide(work({ agent: agent({ toolChoice: 'none' }) }), progress({ steps: 2, modelCalls: 1 }), START)).toMatchObject({ toolChoice: 'none' });
  });
});

describe('limits', () => {
  it('takes the stricter of agent and request', () => {
    const limits = { maxSteps: 10, timeoutMs: 1_000, toolTimeoutMs: 1, modelTimeoutMs: 1 };
    expect(effectiveLimits({ limits }, { maxSteps: 5, timeoutMs: 9_000 })).toEqual({ maxSteps: 5, timeoutMs: 1_000 });
    expect(effectiveLimits({ limits }, { maxSteps: 50, timeoutMs: 900 })).toEqual({ maxSteps: 10, timeoutMs: 900 });
  });

  it('counts time from the start of execution, not from creation', () => {
    expect(deadlineMs(work({ options: { timeoutMs: 100 } }))).toBe(START + 100);
  });

  it('lets the request choose the tier', () => {
    expect(modelRefOf(work())).toBe('tier:balanced');
    expect(modelRefOf(work({ options: { modelTier: 'fast' } }))).toBe('tier:fast');
  });
});
