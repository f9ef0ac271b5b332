/** Tokens of a conversation, by the approximation of `tokens.ts`. */
import type { ChatMessage, ModelToolDescriptor } from '../../../generated/types/index.ts';
import { estimateTokens } from './tokens.ts';

/** What a chat format spends on roles and separators of one message. */
const MESSAGE_OVERHEAD_TOKENS = 3;

/** An id as vendors write them; what is longer is a text in disguise, and counts as one. */
const PLAIN_ID_LENGTH = 64;

const textual = (id: string | undefined): number => (id === undefined || id.length <= PLAIN_ID_LENGTH ? 0 : estimateTokens(id));

/** Input tokens of a chat call: whatever of messages, their tool calls, and the tools on offer reaches a model. */
export function estimateMessages(messages: readonly ChatMessage[], tools: readonly ModelToolDescriptor[]): number {
  let tokens = 0;
  for (const message of messages) {
    tokens += MESSAGE_OVERHEAD_TOKENS + estimateTokens(message.content ?? '') + textual(message.tool_call_id);
    if (message.name !== undefined) tokens += estimateTokens(message.name);
    for (const call of message.tool_calls ?? []) tokens += estimateTokens(call.tool_id) + estimateTokens(JSON.stringify(call.input ?? null)) + textual(call.tool_call_id);
  }
  for (const tool of tools) {
    tokens += estimateTokens(tool.name) + estimateTokens(JSON.stringify(tool.input_schema ?? {}));
    if (tool.description !== undefined) tokens += estimateTokens(tool.description);
  }
  return tokens;
}
