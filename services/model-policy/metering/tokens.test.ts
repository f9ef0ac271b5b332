import { describe, expect, it } from 'vitest';
import type { ModelRequest } from '../../../generated/types/index.ts';
import { readWork, workTokens } from '../engine/work.ts';
import { estimateTokens, truncateToTokens } from './tokens.ts';

describe('estimateTokens', () => {
  it('counts four ASCII characters as one token and every other unit as one', () => {
    expect(estimateTokens('')).toBe(0);
    expect(estimateTokens('a')).toBe(1);
    expect(estimateTokens('abcdefgh')).toBe(2);
    expect(estimateTokens('日本語')).toBe(3);
    expect(estimateTokens('abcd日')).toBe(2);
  });
});

describe('truncateToTokens', () => {
  it('leaves a text that fits and cuts between words otherwise', () => {
    expect(truncateToTokens('short text', 10)).toEqual({ text: 'short text', truncated: false });
    const cut = truncateToTokens('alpha beta gamma delta epsilon zeta', 5);
    expect(cut).toEqual({ text: 'alpha beta gamma', truncated: true });
    expect(estimateTokens(cut.text)).toBeLessThanOrEqual(5);
  });

  it('never splits a surrogate pair', () => {
    for (let max = 1; max < 12; max += 1) {
      const { text } = truncateToTokens('😀😀😀😀😀😀', max);
      expect(/[\ud800-\udbff]$/.test(text)).toBe(false);
      expect(estimateTokens(text)).toBeLessThanOrEqual(max);
    }
  });
});

describe('what a call may use of a budget', () => {
  const TEXT = 'word '.repeat(800);
  const request = (input: object, generation: object = {}): ModelRequest => ({ request_id: 'req_x', operation: 'chat', model_ref: 'm', input: { messages: [{ role: 'user', content: 'hi' }], ...input }, generation }) as ModelRequest;

  it.each<[string, ModelRequest]>([
    ['content', request({ messages: [{ role: 'user', content: TEXT }] })],
    ['the name of a speaker', request({ messages: [{ role: 'user', content: 'hi', name: TEXT }] })],
    ['the description of a tool', request({ tools: [{ tool_id: 't', name: 't', description: TEXT, input_schema: {} }] })],
    ['the schema of a tool', request({ tools: [{ tool_id: 't', name: 't', input_schema: { description: TEXT } }] })],
    ['the input of a call', request({ messages: [{ role: 'assistant', content: null, tool_calls: [{ tool_id: 't', name: 't', input: TEXT }] }] })],
    ['the id of a call', request({ messages: [{ role: 'assistant', content: null, tool_calls: [{ tool_call_id: TEXT, tool_id: 't', name: 't', input: {} }] }] })],
    ['the id of an answered call', request({ messages: [{ role: 'tool', content: '', tool_call_id: TEXT }] })],
    ['the schema of the answer', request({}, { response_format: { type: 'json_schema', json_schema: { schema: { description: TEXT } } } })],
    ['the name of that schema', request({}, { response_format: { type: 'json_schema', json_schema: { name: TEXT, schema: {} } } })],
  ])('counts %s, which reaches the model as well', (_what, asked) => {
    expect(workTokens(readWork(asked))).toBeGreaterThanOrEqual(estimateTokens(TEXT));
  });
});
