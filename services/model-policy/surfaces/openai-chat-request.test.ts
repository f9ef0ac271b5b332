import { describe, expect, it } from 'vitest';
import type { OpenaiChatRequest } from '../../../generated/types/index.ts';
import { toChatRequest } from './openai-chat-request.ts';

const hello: OpenaiChatRequest['messages'] = [{ role: 'user', content: 'hello' }];
const read = (more: Partial<OpenaiChatRequest>) => toChatRequest({ model: 'tier:fast', messages: hello, ...more }, 'req_1');
const TOOL = { type: 'function', function: { name: 'look', description: 'Looks.', parameters: { type: 'object' } } };

describe('a chat in the shape of OpenAI', () => {
  it('becomes a canonical request, and null is the same as nothing', () => {
    expect(read({ max_tokens: 9, stop: 'END', temperature: null, top_p: 0.5, seed: null, presence_penalty: 0, n: null, user: 'x', metadata: { run_id: 'run_1', agent_id: 7, other: true } })).toEqual({
      request_id: 'req_1', operation: 'chat', model_ref: 'tier:fast', input: { messages: hello }, generation: { max_output_tokens: 9, stop: ['END'], top_p: 0.5, presence_penalty: 0 }, context: { run_id: 'run_1' },
    });
    expect(read({ max_tokens: 9, max_completion_tokens: 5, stop: ['a', 'b'] }).generation).toEqual({ max_output_tokens: 5, stop: ['a', 'b'] });
  });

  it('maps roles, parts and calls', () => {
    const { input } = read({
      messages: [
        { role: 'developer', content: [{ type: 'text', text: 'Be ' }, { type: 'text', text: 'brief.' }] },
        { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }, { id: 'call_2', function: { name: 'look', arguments: 'no json' } }] },
        { role: 'tool', tool_call_id: 'call_1', content: 'seen' },
        { role: 'function', name: 'look', content: 'seen' },
        { role: 'assistant', content: null, refusal: 'I will not.' },
      ],
    });
    expect('messages' in input ? input.messages : []).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'assistant', content: null, tool_calls: [{ tool_call_id: 'call_1', tool_id: 'look', name: 'look', input: { at: 1 } }, { tool_call_id: 'call_2', tool_id: 'look', name: 'look', input: 'no json' }] },
      { role: 'tool', tool_call_id: 'call_1', content: 'seen' },
      { role: 'tool', name: 'look', content: 'seen' },
      { role: 'assistant', content: 'I will not.' },
    ]);
  });

  it.each([[undefined, undefined], ['auto', 'auto'], ['none', 'none'], ['required', 'required'], [{ type: 'function', function: { name: 'look' } }, 'look']])('reads the tool choice %j', (choice, expected) => {
    expect(read({ tools: [TOOL], ...(choice === undefined ? {} : { tool_choice: choice }) }).input).toMatchObject({ tools: [{ tool_id: 'look', name: 'look', description: 'Looks.', input_schema: { type: 'object' } }], ...(expected === undefined ? {} : { tool_choice: expected }) });
  });

  it.each<[string, Partial<OpenaiChatRequest>]>([
    ['/n', { n: 2 }],
    ['/n', { n: 0 }],
    ['/logprobs', { logprobs: true }],
    ['/top_logprobs', { top_logprobs: 3 }],
    ['/messages', { messages: [] }],
    ['/messages/0/content/0/type', { messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }],
    ['/tools/0/type', { tools: [{ ...TOOL, type: 'custom' }] }],
    ['/tool_choice', { tool_choice: 'any' }],
    ['/tool_choice', { tool_choice: 'required' }],
    ['/tool_choice', { tools: [TOOL], tool_choice: { type: 'allowed_tools' } }],
    ['/tool_choice/function/name', { tools: [TOOL], tool_choice: { type: 'function', function: { name: 'other' } } }],
    ['/response_format/type', { response_format: { type: 'xml' } }],
    ['/response_format/json_schema/schema', { response_format: { type: 'json_schema' } }],
  ])('refuses %s of %j', (path, more) => {
    let thrown: unknown;
    try {
      read(more);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_request', details: { errors: [{ path }] } });
  });
});
