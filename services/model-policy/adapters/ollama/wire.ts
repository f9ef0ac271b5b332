/** Ollama's `/api/chat`: options in a member of their own, tool arguments as objects, one JSON text a line in streams. */
import type { ModelToolCall } from '../../../../generated/types/index.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderChunk } from '../../ports/provider.ts';
import { CallPieces } from '../wire/call-pieces.ts';
import { streamFailure, type VendorError } from '../wire/failures.ts';
import { asArray, asObject, parseJson, textOf, type Json } from '../wire/json.ts';
import type { AnswerReader, StreamEvent } from '../wire/stream-answer.ts';
import { argumentsObject, offeredTools, pairCalls, type CallIds, type FunctionNames } from '../wire/tools.ts';
import { chatUsage } from '../wire/usage.ts';

export function toChatBody(request: ProviderChatRequest, names: FunctionNames, stream: boolean): Json {
  // Ollama knows no tool choice: what may not be called is not offered.
  const tools = offeredTools(request.tools, request.toolChoice);
  const options: Json = {};
  if (request.temperature !== undefined) options['temperature'] = request.temperature;
  if (request.topP !== undefined) options['top_p'] = request.topP;
  if (request.seed !== undefined) options['seed'] = request.seed;
  if (request.stop !== undefined && request.stop.length > 0) options['stop'] = request.stop;
  if (request.maxOutputTokens !== undefined && Number.isFinite(request.maxOutputTokens)) options['num_predict'] = request.maxOutputTokens;
  if (request.frequencyPenalty !== undefined) options['frequency_penalty'] = request.frequencyPenalty;
  if (request.presencePenalty !== undefined) options['presence_penalty'] = request.presencePenalty;
  const format = request.responseFormat;
  return {
    model: request.model,
    messages: toMessages(request, names),
    stream,
    ...(tools.length === 0 ? {} : {
      tools: tools.map((tool) => ({
        type: 'function',
        function: { name: names.nameOf(tool.tool_id, tool.name), description: tool.description ?? '', parameters: tool.input_schema },
      })),
    }),
    ...(format === undefined || format.type === 'text' ? {} : { format: format.type === 'json_schema' ? format.schema : 'json' }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

function toMessages(request: ProviderChatRequest, names: FunctionNames): Json[] {
  const nameOfCall = new Map<string, string>();
  return pairCalls(request.messages).map(({ message, calls, answers }): Json => {
    if (answers !== null) {
      const name = nameOfCall.get(answers) ?? message.name;
      return { role: 'tool', content: message.content ?? '', tool_call_id: answers, ...(name === undefined ? {} : { tool_name: name }) };
    }
    const out: Json = { role: message.role, content: message.content ?? '' };
    if (calls.length === 0) return out;
    out['tool_calls'] = calls.map((call) => {
      const name = names.nameOf(call.tool_id, call.name);
      nameOfCall.set(call.tool_call_id, name);
      return { id: call.tool_call_id, function: { name, arguments: argumentsObject(call.input) } };
    });
    return out;
  });
}

/** null when the answer has no message, or is not complete. */
export function readChatAnswer(raw: unknown, request: ProviderChatRequest, names: FunctionNames, ids: CallIds): ProviderChatAnswer | null {
  const body = asObject(raw);
  const message = asObject(body?.['message']);
  if (body === null || message === null || body['done'] === false) return null;
  const content = textOf(message, 'content');
  const toolCalls: ModelToolCall[] = [];
  for (const call of readCalls(message)) {
    toolCalls.push({ tool_call_id: ids.idOf(call.id, toolCalls.length, call.name), ...names.toolOf(call.name), input: call.input });
  }
  return {
    message: { role: 'assistant', content },
    toolCalls,
    usage: chatUsage(body['prompt_eval_count'], body['eval_count'], request, () => content + toolCalls.map((call) => `${call.name}${JSON.stringify(call.input)}`).join('')),
    finishReason: readDoneReason(body['done_reason'], toolCalls.length > 0),
  };
}

interface OllamaCall {
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
}

function readCalls(message: Json): OllamaCall[] {
  return (asArray(message['tool_calls']) ?? []).map((raw) => {
    const named = asObject(asObject(raw)?.['function']);
    return { id: textOf(asObject(raw), 'id'), name: textOf(named, 'name'), input: named?.['arguments'] ?? {} };
  }).filter((call) => call.name !== '');
}

function readDoneReason(raw: unknown, hasCalls: boolean): ProviderChatAnswer['finishReason'] {
  if (raw === 'length') return 'length';
  return hasCalls ? 'tool_calls' : 'stop';
}

export class OllamaStreamReader implements AnswerReader {
  complete = false;
  private readonly parts: { readonly backend: string; readonly request: ProviderChatRequest; readonly readError: (body: unknown) => VendorError };
  private readonly calls: CallPieces;
  private readonly texts: string[] = [];
  private callCount = 0;
  private done: Json | null = null;

  constructor(parts: { readonly backend: string; readonly request: ProviderChatRequest; readonly names: FunctionNames; readonly ids: CallIds; readonly readError: (body: unknown) => VendorError }) {
    this.parts = parts;
    this.calls = new CallPieces(parts.names, parts.ids);
  }

  read({ data }: StreamEvent): readonly ProviderChunk[] {
    const body = asObject(parseJson(data));
    if (body === null) return [];
    if (body['error'] !== undefined) throw streamFailure(this.parts.backend, this.parts.readError(body));
    const chunks: ProviderChunk[] = [];
    const message = asObject(body['message']);
    const text = textOf(message, 'content');
    if (text !== '') {
      this.texts.push(text);
      chunks.push({ type: 'content', text });
    }
    // Each call comes whole, and in no order that says which one it is.
    for (const call of message === null ? [] : readCalls(message)) {
      chunks.push(...this.calls.add({ place: this.callCount, id: call.id, name: call.name, argumentsDelta: JSON.stringify(call.input) }));
      this.callCount += 1;
    }
    if (body['done'] === true) {
      this.done = body;
      this.complete = true;
    }
    return chunks;
  }

  end(): readonly ProviderChunk[] | null {
    if (this.done === null) return null;
    const usage = chatUsage(this.done['prompt_eval_count'], this.done['eval_count'], this.parts.request, () => this.texts.join('') + this.calls.written());
    return [{ type: 'usage', usage }, { type: 'finish', reason: readDoneReason(this.done['done_reason'], this.calls.any) }];
  }
}
