/**
 * The wire format of OpenAI's chat completions and embeddings, as the many servers that imitate it speak it.
 *
 * Tools cross under a function name, which allows fewer characters than a tool id does; the names of one call are kept
 * in a `FunctionNames`, so that what comes back is told by its id again. Answers are read leniently: servers leave out
 * usage, send null content, or arguments that are no JSON.
 */
import type { ChatMessage, ModelToolCall, ModelToolDescriptor } from '../../../../generated/types/index.ts';
import { estimateMessages } from '../../metering/messages.ts';
import { estimateTokens } from '../../metering/tokens.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderEmbedAnswer, ProviderUsage } from '../../ports/provider.ts';

type Json = Record<string, unknown>;

const MAX_FUNCTION_NAME = 64;

/** Function names of one call, and the tools behind them. */
export class FunctionNames {
  private readonly toolByName = new Map<string, ModelToolDescriptor>();
  private readonly nameById = new Map<string, string>();

  constructor(tools: readonly ModelToolDescriptor[]) {
    for (const tool of tools) {
      const base = allowedName(tool.name);
      let name = base;
      for (let number = 2; this.toolByName.has(name); number += 1) name = `${base.slice(0, MAX_FUNCTION_NAME - 4)}_${number}`;
      this.toolByName.set(name, tool);
      this.nameById.set(tool.tool_id, name);
    }
  }

  nameOf(toolId: string, name: string): string {
    return this.nameById.get(toolId) ?? allowedName(name);
  }

  /** By id or by offered name; undefined when no such tool is offered. */
  find(toolChoice: string): string | undefined {
    for (const [name, tool] of this.toolByName) if (tool.tool_id === toolChoice || tool.name === toolChoice) return name;
    return undefined;
  }

  /** A name that was never offered stands for itself: whether it may be called is not decided here. */
  toolOf(name: string): { readonly tool_id: string; readonly name: string } {
    const tool = this.toolByName.get(name);
    return tool === undefined ? { tool_id: name, name } : { tool_id: tool.tool_id, name: tool.name };
  }
}

function allowedName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, MAX_FUNCTION_NAME);
}

/** @param tokenLimitMember `max_tokens`, or `max_completion_tokens` where the server wants that one */
export function toChatBody(request: ProviderChatRequest, names: FunctionNames, tokenLimitMember: 'max_tokens' | 'max_completion_tokens'): Json {
  const body: Json = { model: request.model, messages: toMessages(request.messages, names) };
  if (request.tools.length > 0) {
    body['tools'] = request.tools.map((tool) => ({
      type: 'function',
      function: { name: names.nameOf(tool.tool_id, tool.name), ...(tool.description === undefined ? {} : { description: tool.description }), parameters: tool.input_schema },
    }));
    const chosen = names.find(request.toolChoice);
    if (chosen !== undefined) body['tool_choice'] = { type: 'function', function: { name: chosen } };
    else if (['auto', 'none', 'required'].includes(request.toolChoice)) body['tool_choice'] = request.toolChoice;
  }
  if (request.temperature !== undefined) body['temperature'] = request.temperature;
  if (request.topP !== undefined) body['top_p'] = request.topP;
  if (request.maxOutputTokens !== undefined && Number.isFinite(request.maxOutputTokens)) body[tokenLimitMember] = request.maxOutputTokens;
  return body;
}

/** Calls and answers are tied by id; where a caller left ids out, they are paired in order. */
function toMessages(messages: readonly ChatMessage[], names: FunctionNames): Json[] {
  const unanswered: string[] = [];
  let made = 0;
  return messages.map((message): Json => {
    if (message.role === 'tool') {
      const next = unanswered.shift();
      return { role: 'tool', tool_call_id: message.tool_call_id ?? next ?? 'call_unknown', content: message.content ?? '' };
    }
    const calls = message.role === 'assistant' ? (message.tool_calls ?? []) : [];
    const out: Json = { role: message.role, content: message.content ?? (calls.length > 0 ? null : '') };
    if (message.name !== undefined && message.role !== 'assistant') out['name'] = allowedName(message.name);
    if (calls.length === 0) return out;
    out['tool_calls'] = calls.map((call) => {
      const id = call.tool_call_id ?? `call_${(made += 1)}`;
      unanswered.push(id);
      return { id, type: 'function', function: { name: names.nameOf(call.tool_id, call.name), arguments: JSON.stringify(call.input ?? {}) } };
    });
    return out;
  });
}

/** null when the answer has no choice with a message. */
export function readChatAnswer(body: unknown, request: ProviderChatRequest, names: FunctionNames): ProviderChatAnswer | null {
  const choice = asObject(asArray(asObject(body)?.['choices'])?.[0]);
  const message = asObject(choice?.['message']);
  if (choice === null || message === null) return null;
  const content = readContent(message['content']) || readContent(message['refusal']);
  const toolCalls = (asArray(message['tool_calls']) ?? []).map((call) => readToolCall(call, names)).filter((call) => call !== null);
  const usage = readUsage(asObject(body)?.['usage'], () => ({
    inputTokens: estimateMessages(request.messages, request.tools),
    outputTokens: estimateTokens(content) + toolCalls.reduce((sum, call) => sum + estimateTokens(JSON.stringify(call.input ?? null)), 0),
  }));
  return { message: { role: 'assistant', content }, toolCalls, usage, finishReason: readFinishReason(choice['finish_reason'], toolCalls.length > 0) };
}

/** Text, or the text parts of a list of parts. */
function readContent(content: unknown): string {
  if (typeof content === 'string') return content;
  return (asArray(content) ?? []).map((part) => asObject(part)?.['text']).filter((text) => typeof text === 'string').join('');
}

function readToolCall(raw: unknown, names: FunctionNames): ModelToolCall | null {
  const call = asObject(raw);
  const named = asObject(call?.['function']);
  if (call === null || named === null || typeof named['name'] !== 'string' || named['name'] === '') return null;
  return {
    ...(typeof call['id'] === 'string' && call['id'] !== '' ? { tool_call_id: call['id'] } : {}),
    ...names.toolOf(named['name']),
    input: readArguments(named['arguments']),
  };
}

/** Arguments that are no JSON are handed on as they are: the tool's schema refuses them and the model learns of it. */
function readArguments(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw ?? {};
  if (raw.trim() === '') return {};
  try {
    return JSON.parse(raw) as unknown;
  } catch {
    return raw;
  }
}

function readFinishReason(raw: unknown, hasCalls: boolean): ProviderChatAnswer['finishReason'] {
  if (hasCalls) return 'tool_calls';
  return raw === 'length' || raw === 'content_filter' ? raw : 'stop';
}

/** null when vectors are missing or are no numbers. */
export function readEmbedAnswer(body: unknown, texts: readonly string[]): ProviderEmbedAnswer | null {
  const data = asArray(asObject(body)?.['data']);
  if (data === null || data.length !== texts.length) return null;
  const vectors = new Array<readonly number[] | undefined>(texts.length).fill(undefined);
  for (const [position, raw] of data.entries()) {
    const entry = asObject(raw);
    const vector = asArray(entry?.['embedding']);
    const index = typeof entry?.['index'] === 'number' ? entry['index'] : position;
    if (vector === null || vector.length === 0 || !vector.every((each) => typeof each === 'number') || index < 0 || index >= texts.length) return null;
    vectors[index] = vector as number[];
  }
  if (vectors.some((vector) => vector === undefined)) return null;
  const usage = readUsage(asObject(body)?.['usage'], () => ({ inputTokens: texts.reduce((sum, text) => sum + estimateTokens(text), 0), outputTokens: 0 }));
  return { vectors: vectors as (readonly number[])[], usage: { ...usage, outputTokens: 0 } };
}

function readUsage(raw: unknown, estimate: () => ProviderUsage): ProviderUsage {
  const usage = asObject(raw);
  const input = usage?.['prompt_tokens'];
  if (!isCount(input)) return { ...estimate(), estimated: true };
  const output = usage?.['completion_tokens'];
  const total = usage?.['total_tokens'];
  return { inputTokens: input, outputTokens: isCount(output) ? output : isCount(total) ? Math.max(0, total - input) : 0 };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function asObject(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

export function asArray(value: unknown): readonly unknown[] | null {
  return Array.isArray(value) ? value : null;
}
