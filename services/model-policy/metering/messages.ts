/** Tokens of a conversation, by the approximation of `tokens.ts`. */
import type { ChatMessage, ModelToolDescriptor } from '../../../generated/types/index.ts';
import { estimateTokens } from './tokens.ts';

/** What a chat format spends on roles and separators of one message. */
const MESSAGE_OVERHEAD_TOKENS = 3;

/** Input tokens of a chat call: messages, their tool calls, and the tools on offer. */
export function estimateMessages(messages: readonly ChatMessage[], tools: readonly ModelToolDescriptor[]): number {
  let tokens = 0;
  for (const message of messages) {
    tokens += MESSAGE_OVERHEAD_TOKENS + estimateTokens(message.content ?? '');
    for (const call of message.tool_calls ?? []) tokens += estimateTokens(call.tool_id) + estimateTokens(JSON.stringify(call.input ?? null));
  }
  for (const tool of tools) tokens += estimateTokens(tool.name) + estimateTokens(JSON.stringify(tool.input_schema ?? {}));
  return tokens;
}
