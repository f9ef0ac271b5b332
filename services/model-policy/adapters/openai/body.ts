/** Requests in the wire format of OpenAI's chat completions, as the many servers that imitate it take them. */
import type { ProviderChatRequest, ResponseFormat } from '../../ports/provider.ts';
import type { Json } from '../wire/json.ts';
import { allowedName, pairCalls, type FunctionNames } from '../wire/tools.ts';

/** Where the imitations differ from one another in what they take. */
export interface OpenAiDialect {
  /** OpenAI's own API wants the newer member; the servers that imitate it know the older one. */
  readonly tokenLimitMember: 'max_tokens' | 'max_completion_tokens';
  responseFormat(format: ResponseFormat): unknown;
}

export const PLAIN_DIALECT: OpenAiDialect = { tokenLimitMember: 'max_tokens', responseFormat: plainFormat };

export function plainFormat(format: ResponseFormat): unknown {
  if (format.type !== 'json_schema') return { type: format.type };
  return { type: 'json_schema', json_schema: { name: allowedName(format.name ?? 'answer'), schema: format.schema, ...(format.strict === undefined ? {} : { strict: format.strict }) } };
}

export function toChatBody(request: ProviderChatRequest, names: FunctionNames, dialect: OpenAiDialect): Json {
  const body: Json = { model: request.model, messages: toMessages(request, names) };
  if (request.tools.length > 0) {
    body['tools'] = request.tools.map((tool) => ({
      type: 'function',
      function: { name: names.nameOf(tool.tool_id, tool.name), ...(tool.description === undefined ? {} : { description: tool.description }), parameters: tool.input_schema },
    }));
    const chosen = names.find(request.toolChoice);
    if (chosen !== undefined) body['tool_choice'] = { type: 'function', function: { name: chosen } };
    else if (['auto', 'none', 'required'].includes(request.toolChoice)) body['tool_choice'] = request.toolChoice;
    if (request.parallelToolCalls !== undefined) body['parallel_tool_calls'] = request.parallelToolCalls;
  }
  if (request.temperature !== undefined) body['temperature'] = request.temperature;
  if (request.topP !== undefined) body['top_p'] = request.topP;
  if (request.maxOutputTokens !== undefined && Number.isFinite(request.maxOutputTokens)) body[dialect.tokenLimitMember] = request.maxOutputTokens;
  if (request.stop !== undefined && request.stop.length > 0) body['stop'] = request.stop;
  if (request.seed !== undefined) body['seed'] = request.seed;
  if (request.frequencyPenalty !== undefined) body['frequency_penalty'] = request.frequencyPenalty;
  if (request.presencePenalty !== undefined) body['presence_penalty'] = request.presencePenalty;
  if (request.responseFormat !== undefined) body['response_format'] = dialect.responseFormat(request.responseFormat);
  return body;
}

function toMessages(request: ProviderChatRequest, names: FunctionNames): Json[] {
  return pairCalls(request.messages).map(({ message, calls, answers }): Json => {
    if (answers !== null) return { role: 'tool', tool_call_id: answers, content: message.content ?? '' };
    const out: Json = { role: message.role, content: message.content ?? (calls.length > 0 ? null : '') };
    if (message.name !== undefined && message.role !== 'assistant') out['name'] = allowedName(message.name);
    if (calls.length > 0) {
      out['tool_calls'] = calls.map((call) => ({
        id: call.tool_call_id, type: 'function',
        // What a model wrote in place of JSON goes back as it wrote it.
        function: { name: names.nameOf(call.tool_id, call.name), arguments: typeof call.input === 'string' ? call.input : JSON.stringify(call.input ?? {}) },
      }));
    }
    return out;
  });
}
