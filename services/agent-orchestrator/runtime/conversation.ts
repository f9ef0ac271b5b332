/**
 * The conversation of a run as the fold keeps it, and its translation to and from the Appendix E messages.
 *
 * A model's answer is read leniently: the identifier of a call, its name and its arguments stand under the
 * Appendix's members or under the ones that OpenAI-compatible servers use, and arguments may be JSON text.
 */
import type { ChatMessage } from '../../../generated/types/index.ts';

/** One tool call that the model asked for. */
export interface RequestedToolCall {
  /** The model's own identifier of the call; it ties the tool's answer to the call. */
  readonly callId: string;
  /** The tool's id, or its name where the model gave no id. */
  readonly tool: string;
  /** The tool's name as it was offered. */
  readonly name: string;
  readonly input: unknown;
}

export interface AssistantTurn {
  readonly text: string;
  readonly toolCalls: readonly RequestedToolCall[];
}

type Members = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);

const firstString = (...candidates: readonly unknown[]): string | null => {
  for (const candidate of candidates) if (typeof candidate === 'string' && candidate !== '') return candidate;
  return null;
};

function readArguments(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw ?? {};
  try {
    return JSON.parse(raw);
  } catch {
    // The tool's own schema refuses it and the model is told so; nothing is guessed here.
    return raw;
  }
}

function readToolCall(raw: unknown, index: number): RequestedToolCall | null {
  if (!isObject(raw)) return null;
  const nested = isObject(raw['function']) ? raw['function'] : {};
  const tool = firstString(raw['tool_id'], raw['name'], nested['name']);
  if (tool === null) return null;
  return {
    callId: firstString(raw['tool_call_id'], raw['id'], raw['call_id']) ?? `call_${index + 1}`,
    tool,
    name: firstString(raw['name'], nested['name']) ?? tool,
    input: readArguments(raw['input'] ?? raw['arguments'] ?? nested['arguments']),
  };
}

/** Reads a chat output `{type:'chat', message, tool_calls}`; null when it holds neither text nor calls. */
export function readChatOutput(output: unknown): AssistantTurn | null {
  if (!isObject(output)) return null;
  const message = isObject(output['message']) ? output['message'] : null;
  const rawCalls = Array.isArray(output['tool_calls']) ? output['tool_calls'] : message?.['tool_calls'];
  const toolCalls = (Array.isArray(rawCalls) ? rawCalls : [])
    .map(readToolCall)
    .filter((call): call is RequestedToolCall => call !== null);
  const content = message?.['content'];
  if (typeof content !== 'string' && toolCalls.length === 0) return null;
  return { text: typeof content === 'string' ? content : '', toolCalls };
}

export const systemMessage = (content: string): ChatMessage => ({ role: 'system', content });
export const userMessage = (content: string): ChatMessage => ({ role: 'user', content });

export function assistantMessage(turn: AssistantTurn): ChatMessage {
  if (turn.toolCalls.length === 0) return { role: 'assistant', content: turn.text };
  return {
    role: 'assistant',
    content: turn.text,
    tool_calls: turn.toolCalls.map((call) => ({ tool_call_id: call.callId, tool_id: call.tool, name: call.name, input: call.input })),
  };
}

export interface ToolOutcome {
  readonly status: 'ok' | 'error';
  readonly output: unknown;
  readonly error: null | { readonly code: string; readonly message: string };
}

/** What the model is told about a call it asked for: the tool's output, or that and why it failed. */
export function toolMessage(call: RequestedToolCall, outcome: ToolOutcome): ChatMessage {
  const content =
    outcome.status === 'error'
      ? JSON.stringify({ error: { code: outcome.error?.code ?? 'tool_failed', message: outcome.error?.message ?? 'The tool failed.' } })
      : typeof outcome.output === 'string'
        ? outcome.output
        : JSON.stringify(outcome.output ?? null);
  return { role: 'tool', name: call.name, tool_call_id: call.callId, content };
}
