/**
 * A chat as OpenAI's clients ask for it, as a canonical request. What this surface does not offer is refused where
 * leaving it out would change the answer (`n`, `logprobs`, parts that are no text); members it does not know are ignored.
 */
import type { ChatMessage, Generation, ModelRequest, ModelToolDescriptor, OpenaiChatRequest } from '../../../generated/types/index.ts';
import { readArguments } from '../ports/answer-assembly.ts';
import { refusal, runContextOf } from './openai-refusal.ts';

type OpenaiMessage = OpenaiChatRequest['messages'][number];

/** @throws AgentOsError invalid_request, whose `details.errors` names the member. */
export function toChatRequest(body: OpenaiChatRequest, requestId: string): ModelRequest {
  refuseUnoffered(body);
  const tools = (body.tools ?? []).map(toTool);
  const input: Extract<ModelRequest['input'], { messages: unknown }> = { messages: body.messages.map(toMessage) };
  if (tools.length > 0) input.tools = tools;
  if (body.tool_choice !== undefined) input.tool_choice = toToolChoice(body.tool_choice, tools);
  if (body.parallel_tool_calls !== undefined) input.parallel_tool_calls = body.parallel_tool_calls;
  return { request_id: requestId, operation: 'chat', model_ref: body.model, input, generation: toGeneration(body), ...runContextOf(body.metadata) };
}

function refuseUnoffered(body: OpenaiChatRequest): void {
  if ((body.n ?? 1) !== 1) throw refusal('/n', 'must be 1: a call has one answer here');
  if (body.logprobs === true) throw refusal('/logprobs', 'must be false: log probabilities are not offered');
  if ((body.top_logprobs ?? 0) > 0) throw refusal('/top_logprobs', 'must be 0: log probabilities are not offered');
  if (body.messages.length === 0) throw refusal('/messages', 'must hold at least one message');
}

function toMessage(message: OpenaiMessage, index: number): ChatMessage {
  const content = toText(message.content ?? null, `/messages/${index}/content`) ?? message.refusal ?? null;
  const read: ChatMessage = { role: message.role === 'developer' ? 'system' : message.role === 'function' ? 'tool' : message.role, content };
  if (message.name !== undefined) read.name = message.name;
  if (message.tool_call_id !== undefined) read.tool_call_id = message.tool_call_id;
  const calls = message.tool_calls?.map((call) => ({ tool_call_id: call.id, tool_id: call.function.name, name: call.function.name, input: readArguments(call.function.arguments) }));
  if (calls !== undefined && calls.length > 0) read.tool_calls = calls;
  return read;
}

function toText(content: NonNullable<OpenaiMessage['content']> | null, path: string): string | null {
  if (content === null || typeof content === 'string') return content;
  return content.map((part, index) => {
    if (part.type !== 'text' || part.text === undefined) throw refusal(`${path}/${index}/type`, `must be text: a part of type ${part.type} is not offered`);
    return part.text;
  }).join('');
}

/** A function has no id but its name. */
function toTool({ type, function: named }: NonNullable<OpenaiChatRequest['tools']>[number], index: number): ModelToolDescriptor {
  if (type !== 'function') throw refusal(`/tools/${index}/type`, `must be function: a tool of type ${type} is not offered`);
  return { tool_id: named.name, name: named.name, input_schema: named.parameters ?? { type: 'object', properties: {} }, ...(named.description === undefined ? {} : { description: named.description }) };
}

function toToolChoice(choice: NonNullable<OpenaiChatRequest['tool_choice']>, tools: readonly ModelToolDescriptor[]): string {
  if (typeof choice === 'string') {
    if (choice !== 'auto' && choice !== 'none' && choice !== 'required') throw refusal('/tool_choice', 'must be auto, none, required, or name a function');
    if (choice === 'required' && tools.length === 0) throw refusal('/tool_choice', 'must not be required where no tools are offered');
    return choice;
  }
  const name = (choice['function'] as { readonly name?: unknown } | undefined)?.name;
  if (choice['type'] !== 'function' || typeof name !== 'string') throw refusal('/tool_choice', 'must be auto, none, required, or name a function');
  if (!tools.some((tool) => tool.name === name)) throw refusal('/tool_choice/function/name', 'must be one of the tools');
  return name;
}

function toGeneration(body: OpenaiChatRequest): Generation {
  const limit = body.max_completion_tokens ?? body.max_tokens ?? null;
  const stop = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  const generation: Generation = {};
  if (limit !== null) generation.max_output_tokens = limit;
  if (stop.length > 0) generation.stop = stop;
  for (const name of NUMBERS) {
    const value = body[name];
    if (value !== null && value !== undefined) generation[name] = value;
  }
  if (body.response_format !== undefined) generation.response_format = toFormat(body.response_format);
  return generation;
}

const NUMBERS = ['temperature', 'top_p', 'seed', 'presence_penalty', 'frequency_penalty'] as const;

function toFormat(format: Readonly<Record<string, unknown>>): NonNullable<Generation['response_format']> {
  const { type, json_schema: schema } = format;
  if (type === 'text' || type === 'json_object') return { type };
  if (type !== 'json_schema') throw refusal('/response_format/type', 'must be text, json_object or json_schema');
  if (typeof (schema as { readonly schema?: unknown } | undefined)?.schema !== 'object') throw refusal('/response_format/json_schema/schema', 'must be a JSON Schema');
  return { type, json_schema: schema as Record<string, unknown> };
}
