import { describe, expect, it } from 'vitest';
import type { ModelToolDescriptor } from '../../../../generated/types/index.ts';
import { anthropicVendor } from '../../fixture/vendor-anthropic.ts';
import { ollamaVendor } from '../../fixture/vendor-ollama.ts';
import { openAiVendor } from '../../fixture/vendor-openai.ts';
import type { SaidAnswer, Vendor } from '../../fixture/vendor-stub.ts';
import { tgiVendor } from '../../fixture/vendor-tgi.ts';
import { vllmVendor } from '../../fixture/vendor-vllm.ts';
import { AnswerAssembly } from '../../ports/answer-assembly.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderChunk } from '../../ports/provider.ts';
import { AnthropicStreamReader } from '../anthropic/answer.ts';
import { OllamaStreamReader } from '../ollama/wire.ts';
import { OpenAiStreamReader } from '../openai/stream.ts';
import { readVendorError } from './failures.ts';
import { streamAnswer, type AnswerReader, type StreamFormat } from './stream-answer.ts';
import { CallIds, FunctionNames } from './tools.ts';

const TOOLS: ModelToolDescriptor[] = ['echo', 'text.stats'].map((name) => ({ tool_id: `tool.${name}`, name, input_schema: { type: 'object' } }));
const REQUEST: ProviderChatRequest = { model: 'm', messages: [{ role: 'user', content: 'say it' }], tools: TOOLS, toolChoice: 'auto' };
const SAID: SaidAnswer = {
  texts: ['Grüße ', '👋🏽', ', 世', '界 – "ok"\n', 'end.'],
  calls: [
    { id: 'call_one', name: 'echo', pieces: ['{"te', 'xt":"h', 'äll', 'o 👋"}'] },
    { id: 'call_two', name: 'text_stats', pieces: ['{}'] },
  ],
  usage: { input: 21, output: 9 },
  finish: 'tool_calls',
};
const WHOLE: ProviderChatAnswer = {
  message: { role: 'assistant', content: 'Grüße 👋🏽, 世界 – "ok"\nend.' },
  toolCalls: [
    { tool_call_id: expect.any(String) as string, tool_id: 'tool.echo', name: 'echo', input: { text: 'hällo 👋' } },
    { tool_call_id: expect.any(String) as string, tool_id: 'tool.text.stats', name: 'text.stats', input: {} },
  ],
  usage: { inputTokens: 21, outputTokens: 9 },
  finishReason: 'tool_calls',
};

function parts(): { backend: string; request: ProviderChatRequest; names: FunctionNames; ids: CallIds; readError: typeof readVendorError } {
  return { backend: 'stub', request: REQUEST, names: new FunctionNames(TOOLS), ids: new CallIds('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', REQUEST.messages), readError: readVendorError };
}

const VENDORS: readonly [string, Vendor, StreamFormat, () => AnswerReader][] = [
  ['openai', openAiVendor, 'sse', () => new OpenAiStreamReader(parts())],
  ['vllm', vllmVendor, 'sse', () => new OpenAiStreamReader(parts())],
  ['tgi', tgiVendor, 'sse', () => new OpenAiStreamReader(parts())],
  ['anthropic', anthropicVendor, 'sse', () => new AnthropicStreamReader(parts())],
  ['ollama', ollamaVendor, 'ndjson', () => new OllamaStreamReader(parts())],
];

/** Reads an answer whose bytes arrive in these chunks. */
async function read(format: StreamFormat, reader: AnswerReader, chunks: readonly Buffer[]): Promise<{ pieces: ProviderChunk[]; answer: ProviderChatAnswer | null; error: unknown; end: 'kept' | 'left' | null }> {
  const waiting = [...chunks];
  let end: 'kept' | 'left' | null = null;
  const open = async () => ({ next: async () => waiting.shift() ?? null, letGo: () => { end = 'kept'; }, leave: () => { end = 'left'; } });
  const pieces: ProviderChunk[] = [];
  const assembly = new AnswerAssembly();
  try {
    for await (const piece of streamAnswer('stub', open, format, reader)) {
      pieces.push(piece);
      assembly.add(piece);
    }
  } catch (error) {
    return { pieces, answer: null, error, end };
  }
  return { pieces, answer: assembly.answer(), error: null, end };
}

function bytesOf(frames: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(frames.map((frame) => Buffer.from(frame as Uint8Array)));
}

function inPieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
}

describe.each(VENDORS)('a stream of %s', (_name, vendor, format, reader) => {
  const frames = vendor.frames(SAID);
  const bytes = bytesOf(frames);

  it('reads the same whatever the borders of its chunks', async () => {
    for (let at = 1; at < bytes.length; at += 1) {
      const { answer } = await read(format, reader(), [bytes.subarray(0, at), bytes.subarray(at)]);
      if (JSON.stringify(answer?.message) !== JSON.stringify(WHOLE.message) || answer?.toolCalls.length !== 2) expect(answer, `split at ${at}`).toEqual(WHOLE);
      if (at % 97 === 0) expect(answer, `split at ${at}`).toEqual(WHOLE);
    }
    for (const size of [1, 2, 3, 5, 7, 64]) expect((await read(format, reader(), inPieces(bytes, size))).answer, `pieces of ${size}`).toEqual(WHOLE);
  });

  it('is never whole when it was cut, wherever that was', async () => {
    let firstWhole = bytes.length;
    for (let length = 0; length <= bytes.length; length += 1) {
      const { answer, error, pieces } = await read(format, reader(), [bytes.subarray(0, length)]);
      if (error === null) {
        firstWhole = Math.min(firstWhole, length);
        expect(answer!.message, `cut at ${length}`).toEqual(WHOLE.message);
        expect(answer!.toolCalls, `cut at ${length}`).toEqual(WHOLE.toolCalls);
      } else {
        expect(error, `cut at ${length}`).toMatchObject({ code: 'dependency_unavailable', details: { reason: 'stream_truncated' } });
        expect(pieces.some((piece) => piece.type === 'finish')).toBe(false);
        expect(length, 'cut later than a shorter one that was whole').toBeLessThanOrEqual(firstWhole);
      }
    }
    expect(bytes.length - firstWhole, 'the end is taken for the end').toBeLessThan(400);
  });

  it('estimates what is not counted, and says so', async () => {
    const { answer } = await read(format, reader(), [bytesOf(vendor.frames({ ...SAID, usage: null }))]);
    expect(answer!.usage).toMatchObject({ estimated: true });
    expect(answer!.usage.inputTokens).toBeGreaterThan(0);
    expect(answer!.usage.outputTokens).toBeGreaterThan(0);
  });

  it('tells an answer that was cut short by its limit', async () => {
    const { answer } = await read(format, reader(), [bytesOf(vendor.frames({ ...SAID, calls: [], finish: 'length' }))]);
    expect(answer).toMatchObject({ finishReason: 'length', toolCalls: [] });
  });

  it('throws an error that comes in the middle, after what came before it', async () => {
    const { pieces, error, end } = await read(format, reader(), [bytesOf([...frames.slice(0, 5), vendor.errorFrame])]);
    expect(error).toMatchObject({ code: 'dependency_unavailable', details: { in_stream: true } });
    expect(pieces.some((piece) => piece.type === 'content')).toBe(true);
    expect(end).toBe('left');
  });

  it.runIf(format === 'sse')('takes CRLF and comments that keep the connection alive', async () => {
    const noisy = [': keep-alive\r\n\r\n', ...frames.flatMap((frame) => [String(frame).replaceAll('\n', '\r\n'), ': OPENROUTER PROCESSING\r\n\r\n'])];
    expect((await read(format, reader(), inPieces(bytesOf(noisy), 11))).answer).toEqual(WHOLE);
  });

  it('keeps the connection when it has read the end, and not when its reader left', async () => {
    expect((await read(format, reader(), [bytes])).end).toBe('kept');
    let left = false;
    const stream = streamAnswer('stub', async () => ({ next: async () => bytes, letGo: () => {}, leave: () => { left = true; } }), format, reader());
    for await (const piece of stream) if (piece.type === 'content') break;
    expect(left).toBe(true);
  });
});

describe('streams in the format of OpenAI', () => {
  const chunk = (delta: unknown, finish_reason: string | null = null): string => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  const readAll = (frames: readonly string[]) => read('sse', new OpenAiStreamReader(parts()), [bytesOf(frames)]);
  const call = (more: Record<string, unknown>): unknown => ({ tool_calls: [more] });

  it('are whole without [DONE] when they gave a reason, and without a reason when they gave [DONE]', async () => {
    expect((await readAll([chunk({ content: 'a' }), chunk({}, 'stop')])).answer).toMatchObject({ message: { content: 'a' }, finishReason: 'stop' });
    expect((await readAll([chunk({ content: 'a' }), 'data: [DONE]'])).answer).toMatchObject({ message: { content: 'a' }, finishReason: 'stop' });
  });

  it.each<[string, readonly unknown[], unknown[]]>([
    ['a name in parts', [call({ index: 0, id: 'c1', function: { name: 'ec' } }), call({ index: 0, function: { name: 'ho', arguments: '{}' } })], [{ tool_call_id: 'c1', name: 'echo' }]],
    ['a name that is repeated', [call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '{"a"' } }), call({ index: 0, id: 'c1', function: { name: 'echo', arguments: ':1}' } })], [{ tool_call_id: 'c1', name: 'echo', input: { a: 1 } }]],
    ['a name that is repeated before its arguments', [call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '' } }), call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '{}' } })], [{ tool_call_id: 'c1', name: 'echo' }]],
    ['no index', [call({ id: 'c1', function: { name: 'echo', arguments: '{"a":1}' } }), call({ id: 'c2', function: { name: 'echo', arguments: '{"b":2}' } })], [{ tool_call_id: 'c1', input: { a: 1 } }, { tool_call_id: 'c2', input: { b: 2 } }]],
    ['the same index for several', [call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '{}' } }), call({ index: 0, id: 'c2', function: { name: 'echo', arguments: '{}' } })], [{ tool_call_id: 'c1' }, { tool_call_id: 'c2' }]],
    ['pieces that are mixed', [call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '{"a"' } }), call({ index: 1, id: 'c2', function: { name: 'echo', arguments: '{"b"' } }), call({ index: 0, function: { arguments: ':1}' } }), call({ index: 1, function: { arguments: ':2}' } })], [{ input: { a: 1 } }, { input: { b: 2 } }]],
    ['no id', [call({ index: 0, function: { name: 'echo', arguments: '{}' } }), call({ index: 1, function: { name: 'echo', arguments: '{}' } })], [{ tool_call_id: expect.stringMatching(/^tcall_/) }, { tool_call_id: expect.stringMatching(/^tcall_/) }]],
    ['no arguments', [call({ index: 0, id: 'c1', function: { name: 'echo' } })], [{ tool_call_id: 'c1', input: {} }]],
    ['arguments that are no JSON', [call({ index: 0, id: 'c1', function: { name: 'echo', arguments: '{"a": unfin' } })], [{ input: '{"a": unfin' }]],
    ['an empty first piece before the name', [call({ index: 0, id: 'c1', function: { arguments: '' } }), call({ index: 0, function: { name: 'echo', arguments: '{}' } })], [{ tool_call_id: 'c1', name: 'echo' }]],
    ['no name at all', [call({ index: 0, id: 'c1', function: { arguments: '{}' } }), call({ index: 1, id: 'c2', function: { name: 'echo', arguments: '{}' } })], [{ tool_call_id: 'c2' }]],
  ])('read calls with %s', async (_what, deltas, expected) => {
    const { answer, pieces } = await readAll([...deltas.map((delta) => chunk(delta)), chunk({}, 'tool_calls'), 'data: [DONE]\n\n']);
    expect(answer!.toolCalls).toMatchObject(expected);
    expect(answer!.toolCalls).toHaveLength(expected.length);
    expect(new Set(answer!.toolCalls.map((each) => each.tool_call_id)).size).toBe(expected.length);
    expect(new Set(pieces.flatMap((piece) => (piece.type === 'tool_call' ? [piece.index] : [])))).toEqual(new Set(expected.map((_each, index) => index)));
  });

  it.each([
    ['an error of vLLM before 0.10', { object: 'error', message: 'This model\'s maximum context length is 4096 tokens.', type: 'BadRequestError', code: 400 }, 'invalid_request'],
    ['an error of TGI', { error: { message: 'Model is overloaded', http_status_code: 429 } }, 'rate_limited'],
    ['an error of TGI as a text', { error: 'Input validation error', error_type: 'validation' }, 'invalid_request'],
    ['a rate limit', { error: { message: 'Rate limit reached', type: 'tokens', code: 'rate_limit_exceeded' } }, 'rate_limited'],
    ['an error that says nothing', { error: {} }, 'dependency_unavailable'],
  ])('throw %s', async (_what, event, code) => {
    expect((await readAll([chunk({ content: 'a' }), `data: ${JSON.stringify(event)}\n\n`, 'data: [DONE]\n\n'])).error).toMatchObject({ code, details: { in_stream: true } });
  });

  it('take the last count where each chunk counts', async () => {
    const counted = (output: number) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }], usage: { prompt_tokens: 5, completion_tokens: output, total_tokens: 5 + output } })}\n\n`;
    expect((await readAll([counted(1), counted(2), counted(3), chunk({}, 'stop'), 'data: [DONE]\n\n'])).answer!.usage).toEqual({ inputTokens: 5, outputTokens: 3 });
  });
});
