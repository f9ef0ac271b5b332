import { describe, expect, it } from 'vitest';
import type { RunCreateRequest } from '../../../generated/types/index.ts';
import { normalizeRunRequest } from './run-request.ts';

const agent = { limits: { maxSteps: 10, timeoutMs: 1000, toolTimeoutMs: 100, modelTimeoutMs: 100 } };
const inputOf = (input: unknown) => normalizeRunRequest({ input } as RunCreateRequest, agent).input;
const message = (role: string, content: string) => ({ role, content });

describe('the input of a run', () => {
  it.each([
    ['a string', 'hi', { type: 'text', text: 'hi' }],
    ['an object without a type', { text: 'hi' }, { type: 'text', text: 'hi' }],
    ['text with an unknown member', { text: 'hi', messages: 'no list' }, { type: 'text', text: 'hi' }],
    ['a conversation', { type: 'messages', messages: [message('system', 'be brief'), message('user', 'hi')] }, { type: 'messages', text: 'hi', messages: [message('system', 'be brief'), message('user', 'hi')] }],
  ])('%s', (_name, input, stored) => {
    expect(inputOf(input)).toEqual(stored);
  });

  it.each([
    ['that the user does not end', [message('user', 'hi'), message('assistant', 'hello')], 'must end with a message of the user'],
    ['that is too long', [message('assistant', 'a'.repeat(200_000)), message('user', 'b')], 'at most 200000 characters'],
  ])('refuses a conversation %s', (_name, messages, why) => {
    expect(() => inputOf({ type: 'messages', messages })).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(why) }));
  });
});
