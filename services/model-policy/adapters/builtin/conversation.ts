/** Reading a conversation: who says what, which tools have been called since the user last spoke, and what they answered. */
import type { ChatMessage } from '../../../../generated/types/index.ts';

/** What a tool answered, parsed where it is JSON. */
export interface ToolAnswer {
  readonly name: string;
  readonly output: unknown;
  readonly error: string | null;
}

export interface Conversation {
  /** The system messages. */
  readonly instructions: string;
  /** The latest user message. */
  readonly input: string;
  /** Ids and names of tools called since then. */
  readonly called: ReadonlySet<string>;
  readonly answers: readonly ToolAnswer[];
}

export function readConversation(messages: readonly ChatMessage[]): Conversation {
  const lastUser = messages.findLastIndex((message) => message.role === 'user');
  const instructions = messages.filter((message) => message.role === 'system').map((message) => message.content ?? '').join('\n');
  const called = new Set<string>();
  const nameById = new Map<string, string>();
  const answers: ToolAnswer[] = [];
  for (const message of messages.slice(lastUser + 1)) {
    for (const call of message.tool_calls ?? []) {
      called.add(call.tool_id);
      called.add(call.name);
      if (call.tool_call_id !== undefined) nameById.set(call.tool_call_id, call.tool_id);
    }
    if (message.role !== 'tool') continue;
    const name = (message.tool_call_id === undefined ? undefined : nameById.get(message.tool_call_id)) ?? message.name ?? 'tool';
    called.add(name);
    if (message.name !== undefined) called.add(message.name);
    answers.push(readAnswer(name, message.content ?? ''));
  }
  return { instructions, input: lastUser < 0 ? '' : (messages[lastUser]!.content ?? ''), called, answers };
}

/** Accepts a bare output as well as `{output, status, error}` around it. */
function readAnswer(name: string, content: string): ToolAnswer {
  const value = parseJson(content);
  if (isRecord(value)) {
    const error = value['error'];
    if (error !== null && error !== undefined) {
      return { name, output: null, error: isRecord(error) && typeof error['message'] === 'string' ? error['message'] : typeof error === 'string' ? error : JSON.stringify(error) };
    }
    if ('output' in value && Object.keys(value).every((key) => ['output', 'status', 'error', 'duration_ms', 'tool_call_id', 'tool_id'].includes(key))) {
      return { name, output: value['output'], error: null };
    }
  }
  return { name, output: value, error: null };
}

function parseJson(content: string): unknown {
  const trimmed = content.trim();
  if (!/^[[{"\d-]|^(?:true|false|null)$/.test(trimmed)) return content;
  try {
    return JSON.parse(trimmed) as unknown;
  } catch {
    return content;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
