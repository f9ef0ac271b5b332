import { describe, expect, it } from 'vitest';
import { modelCompleted, modelRequested, runCompleted, runStarted, stepCompleted, stepStarted, toolCallCompleted, toolCallRequested } from '../events/drafts.ts';
import type { EventDraft } from '../ports/run-state.ts';
import { applyEvent, fold, startProgress } from './progress.ts';
import { says, toolCalls, work } from './runtime.fixture.ts';

const RUN = 'run_1';
const modelStep = (step: number, output: unknown): EventDraft[] => [
  stepStarted(RUN, step, { step_kind: 'model', name: 'model_call', message: '' }),
  modelRequested(RUN, step, { model_ref: 'tier:balanced', operation: 'chat', requirements: {}, input_summary: { messages: 2, has_tools: true }, input_hash: '0'.repeat(32) }),
  modelCompleted(RUN, step, { status: 'ok', output }),
  stepCompleted(RUN, step, { status: 'ok', step_kind: 'model', name: 'model_call', duration_ms: 1 }),
];
const toolStep = (step: number, output: unknown, error: { code: string; message: string; retryable: boolean; details: object } | null = null): EventDraft[] => [
  stepStarted(RUN, step, { step_kind: 'tool', name: 'tool.echo', message: '' }),
  toolCallRequested(RUN, step, { tool_id: 'tool.echo', input: {}, timeout_ms: 1 }),
  toolCallCompleted(RUN, step, { tool_id: 'tool.echo', status: error === null ? 'ok' : 'error', output, duration_ms: 1, error: error as never }),
  stepCompleted(RUN, step, { status: 'ok', step_kind: 'tool', name: 'tool.echo', duration_ms: 1 }),
];
const twoCalls = toolCalls({ tool: 'tool.echo', input: { text: 'a' } }, { tool: 'tool.kv.get', input: { key: 'k' } }).output;

describe('the fold', () => {
  it('begins with instructions and input, and leaves out instructions that say nothing', () => {
    expect(startProgress(work()).messages).toEqual([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hello.' }]);
    expect(startProgress(work({ agent: { ...work().agent, instructions: '  ' } })).messages).toEqual([{ role: 'user', content: 'Hello.' }]);
  });

  it('takes an answer without tool calls as the answer', () => {
    const progress = fold(work(), [runStarted(RUN), ...modelStep(1, says('Done.').output)]);
    expect(progress).toMatchObject({ steps: 1, modelCalls: 1, toolCalls: 0, open: null, outstanding: [], answer: { type: 'text', text: 'Done.' } });
  });

  it('keeps the calls of an answer in the order of the model, and answers them one by one', () => {
    const asked = fold(work(), modelStep(1, twoCalls));
    expect(asked.outstanding.map((call) => call.tool)).toEqual(['tool.echo', 'tool.kv.get']);
    expect(asked.answer).toBeNull();
    const first = fold(work(), [...modelStep(1, twoCalls), ...toolStep(2, { text: 'a' })]);
    expect(first.outstanding.map((call) => call.tool)).toEqual(['tool.kv.get']);
    expect(first.messages.slice(2)).toEqual([
      { role: 'assistant', content: '', tool_calls: [
        { tool_call_id: 'call_0', tool_id: 'tool.echo', name: 'tool.echo', input: { text: 'a' } },
        { tool_call_id: 'call_1', tool_id: 'tool.kv.get', name: 'tool.kv.get', input: { key: 'k' } },
      ] },
      { role: 'tool', name: 'tool.echo', tool_call_id: 'call_0', content: '{"text":"a"}' },
    ]);
    expect(first).toMatchObject({ steps: 2, modelCalls: 1, toolCalls: 1 });
  });

  it('tells the model what a tool said in words as words, and a failure as a failure', () => {
    const said = fold(work(), [...modelStep(1, twoCalls), ...toolStep(2, 'plain words'), ...toolStep(3, null, { code: 'forbidden', message: 'No.', retryable: false, details: {} })]);
    expect(said.messages.at(-2)).toMatchObject({ content: 'plain words' });
    expect(said.messages.at(-1)).toMatchObject({ role: 'tool', content: '{"error":{"code":"forbidden","message":"No."}}' });
    expect(said.outstanding).toEqual([]);
  });

  it('knows a step that was begun, and whether its request is in the log', () => {
    const events = modelStep(1, twoCalls);
    expect(fold(work(), events.slice(0, 1)).open).toEqual({ kind: 'model', number: 1, requested: false });
    expect(fold(work(), events.slice(0, 2)).open).toEqual({ kind: 'model', number: 1, requested: true });
    expect(fold(work(), events.slice(0, 3)).open).toBeNull();
    expect(fold(work(), [...events, ...toolStep(2, 1).slice(0, 2)]).open).toEqual({ kind: 'tool', number: 2, requested: true });
  });

  it('keeps why a model call failed, also when the log is silent about it', () => {
    const failed = (error: unknown) => fold(work(), [...modelStep(1, null).slice(0, 2), modelCompleted(RUN, 1, { status: 'error', error })]).failure;
    expect(failed({ code: 'policy_blocked', message: 'No.', retryable: false, details: { a: 1 } })).toEqual({ code: 'policy_blocked', message: 'No.', retryable: false, details: { a: 1 } });
    expect(failed(undefined)).toMatchObject({ code: 'internal_error', retryable: false });
    expect(fold(work(), modelStep(1, { type: 'chat' })).failure).toMatchObject({ code: 'internal_error', details: { reason: 'empty_model_answer' } });
  });

  it('ends with a terminal event and ignores what it does not know', () => {
    const before = fold(work(), modelStep(1, says('x').output));
    expect(applyEvent(before, { type: 'agentos.something.new', payload: {} })).toEqual(before);
    expect(applyEvent(before, runCompleted(RUN, { type: 'text', text: 'x' })).ended).toBe(true);
  });

  it('is the same whether it is done at once or event by event', () => {
    const events = [...modelStep(1, twoCalls), ...toolStep(2, 1), ...toolStep(3, 2), ...modelStep(4, says('end').output)];
    let stepwise = startProgress(work());
    for (const [index, event] of events.entries()) {
      stepwise = applyEvent(stepwise, event);
      expect(fold(work(), events.slice(0, index + 1))).toEqual(stepwise);
    }
  });

  it('reads the tool calls of OpenAI-compatible servers', () => {
    const output = { type: 'chat', message: { role: 'assistant', content: null, tool_calls: [{ id: 'abc', function: { name: 'echo', arguments: '{"text":"a"}' } }, { function: { name: 'echo', arguments: 'not json' } }, 'junk', {}] } };
    expect(fold(work(), modelStep(1, output)).outstanding).toEqual([
      { callId: 'abc', tool: 'echo', name: 'echo', input: { text: 'a' } },
      { callId: 'call_2', tool: 'echo', name: 'echo', input: 'not json' },
    ]);
  });
});
