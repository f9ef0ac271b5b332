/**
 * Requests in the wire format of Anthropic's Messages API: instructions apart from the conversation, turns that
 * alternate, tool answers as blocks of the user's turn, no empty text, and a token limit that must be there.
 */
import type { ProviderChatRequest } from '../../ports/provider.ts';
import type { Json } from '../wire/json.ts';
import type { FunctionNames } from '../wire/tools.ts';
import { toConversation, type BlockMaker } from '../wire/turns.ts';

const BLOCKS: BlockMaker<Json> = {
  text: (text) => ({ type: 'text', text }),
  call: (id, name, input) => ({ type: 'tool_use', id, name, input }),
  answer: (callId, content) => ({ type: 'tool_result', tool_use_id: callId, content }),
};

export function toMessagesBody(request: ProviderChatRequest, names: FunctionNames, defaultMaxTokens: number): Json {
  const { system, turns } = toConversation(request, names, BLOCKS);
  const tools = request.tools.map((tool) => ({
    name: names.nameOf(tool.tool_id, tool.name), ...(tool.description === undefined ? {} : { description: tool.description }), input_schema: tool.input_schema,
  }));
  const stop = (request.stop ?? []).filter((each) => each.trim() !== '');
  const limit = request.maxOutputTokens !== undefined && Number.isFinite(request.maxOutputTokens) ? request.maxOutputTokens : defaultMaxTokens;
  return {
    model: request.model,
    max_tokens: limit,
    messages: turns,
    ...(system === '' ? {} : { system }),
    ...(tools.length === 0 ? {} : { tools, ...toolChoice(request, names) }),
    // The scale ends at 1 here, and newer models refuse both of these at once.
    ...(request.temperature !== undefined ? { temperature: Math.min(1, request.temperature) } : request.topP !== undefined ? { top_p: request.topP } : {}),
    ...(stop.length === 0 ? {} : { stop_sequences: stop }),
    ...(request.responseFormat?.type === 'json_schema' ? { output_config: { format: { type: 'json_schema', schema: request.responseFormat.schema } } } : {}),
  };
}

function toolChoice(request: ProviderChatRequest, names: FunctionNames): Json {
  const chosen = names.find(request.toolChoice);
  const single = request.parallelToolCalls === false ? { disable_parallel_tool_use: true } : {};
  if (chosen !== undefined) return { tool_choice: { type: 'tool', name: chosen, ...single } };
  if (request.toolChoice === 'none') return { tool_choice: { type: 'none' } };
  if (request.toolChoice === 'required') return { tool_choice: { type: 'any', ...single } };
  return request.parallelToolCalls === false ? { tool_choice: { type: 'auto', ...single } } : {};
}
