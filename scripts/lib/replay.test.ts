import { describe, expect, it } from 'vitest';
import type { RunReplayAnswer } from '../../generated/types/index.ts';
import { replayText } from './replay.ts';

const plain = (_style: string, text: string): string => text;
const decision = (overrides: Partial<RunReplayAnswer['decisions'][number]> = {}): RunReplayAnswer['decisions'][number] => ({ step: 1, kind: 'model', expected: { model_ref: 'tier:fast' }, actual: { model_ref: 'tier:fast' }, agreed: true, ...overrides });
const answer = (overrides: Partial<RunReplayAnswer>): RunReplayAnswer => ({ run_id: 'run_1', agreed: true, steps: 1, decisions: [decision()], missing: [], correlation_id: 'c', tenant_id: 't', ...overrides });

describe('a replay in words', () => {
  it('is one line a decision and a verdict', () => {
    expect(replayText(answer({}), plain).split('\n')).toEqual(['   1  model   tier:fast                        same', 'run_1: the log leads to the same 1 step; nothing was called.']);
  });

  it('shows both sides of what differs, and what is missing', () => {
    const text = replayText(answer({ agreed: false, decisions: [decision({ agreed: false, actual: { model_ref: 'tier:slow' } }), decision({ step: 2, kind: 'finish', expected: null, actual: null, agreed: false })], missing: [{ sequence: 5, what: 'the event itself' }, { what: 'its end' }] }), plain);
    expect(text).toContain('the log says    {"model_ref":"tier:fast"}\n      decided now     {"model_ref":"tier:slow"}');
    expect(text).toContain('missing  event 5: the event itself\nmissing  its end');
    expect(text).toContain('run_1: 2 of 2 decisions differ; the log lacks 2 things');
  });

  it('shortens what is long', () => {
    expect(replayText(answer({ decisions: [decision({ agreed: false, expected: { text: 'x'.repeat(5_000) } })] }), plain).length).toBeLessThan(700);
  });
});
