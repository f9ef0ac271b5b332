/** One model call between the wire and a backend: what is asked, what is judged, and what comes back. */
import type { ChatMessage, Generation, ModelRequest, ModelResponse, ModelToolDescriptor } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { estimateMessages } from '../metering/messages.ts';
import { estimateTokens } from '../metering/tokens.ts';
import { judgeAnswer, judgeChat, judgeTexts } from '../policy/guard.ts';
import type { Judgement } from '../policy/evaluate.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderEmbedAnswer, ResponseFormat } from '../ports/provider.ts';
import type { CatalogueModel } from '../router/catalogue.ts';

export type ModelWork =
  | { readonly operation: 'chat'; readonly messages: readonly ChatMessage[]; readonly tools: readonly ModelToolDescriptor[]; readonly toolChoice: string; readonly parallelToolCalls: boolean | null; readonly stop: readonly string[]; readonly responseFormat: ResponseFormat | null }
  | { readonly operation: 'embed'; readonly texts: readonly string[]; readonly encoding: 'float' | 'base64'; readonly dimensions: number | null };

export type ChatWork = Extract<ModelWork, { readonly operation: 'chat' }>;
export type BackendAnswer = ProviderChatAnswer | ProviderEmbedAnswer;

/** @throws AgentOsError invalid_request when the input does not fit the operation. */
export function readWork(request: ModelRequest): ModelWork {
  const { input } = request;
  if (request.operation === 'chat') {
    if (!('messages' in input)) throw misfit('chat', 'messages');
    return {
      operation: 'chat', messages: input.messages, tools: input.tools ?? [], toolChoice: input.tool_choice ?? 'auto', parallelToolCalls: input.parallel_tool_calls ?? null,
      stop: request.generation?.stop ?? [], responseFormat: readFormat(request.generation?.response_format),
    };
  }
  if (!('texts' in input)) throw misfit('embed', 'texts');
  return { operation: 'embed', texts: input.texts, encoding: input.encoding_format ?? 'float', dimensions: input.dimensions ?? null };
}

/** As OpenAI's API writes it. @throws AgentOsError invalid_request. */
function readFormat(format: Generation['response_format']): ResponseFormat | null {
  if (format === undefined) return null;
  if (format.type === 'text' || format.type === 'json_object') return { type: format.type };
  if (format.type !== 'json_schema') throw badFormat('/type', 'must be text, json_object or json_schema');
  const { name, schema, strict } = format.json_schema ?? {};
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) throw badFormat('/json_schema/schema', 'must be a JSON Schema');
  return { type: 'json_schema', schema: schema as Record<string, unknown>, ...(typeof name === 'string' ? { name } : {}), ...(typeof strict === 'boolean' ? { strict } : {}) };
}

function badFormat(path: string, message: string): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `generation.response_format${path.replaceAll('/', '.')} ${message}.`,
    details: { errors: [{ path: `/request/generation/response_format${path}`, message }] },
  });
}

function misfit(operation: string, member: string): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `Operation ${operation} needs request.input.${member}.`,
    details: { errors: [{ path: `/request/input/${member}`, message: 'is required' }] },
  });
}

export function judgeWork(judgement: Judgement, work: ModelWork): ModelWork {
  if (work.operation === 'embed') return { ...work, texts: judgeTexts(judgement, work.texts) };
  return {
    ...work, ...judgeChat(judgement, work),
    stop: work.stop.length === 0 ? work.stop : work.stop.map((text, index) => judgement.text(text, `/generation/stop/${index}`)),
    responseFormat: work.responseFormat === null ? null : judgeFormat(judgement, work.responseFormat),
  };
}

function judgeFormat(judgement: Judgement, format: ResponseFormat): ResponseFormat {
  if (format.type !== 'json_schema') return format;
  if (format.name !== undefined) judgement.identifier(format.name, '/generation/response_format/name');
  return { ...format, schema: judgement.value(format.schema, '/generation/response_format') as Record<string, unknown> };
}

export function judgeBackendAnswer(judgement: Judgement, answer: BackendAnswer): BackendAnswer {
  return 'message' in answer ? judgeAnswer(judgement, answer) : answer;
}

export function workTokens(work: ModelWork): number {
  if (work.operation === 'chat') return estimateMessages(work.messages, work.tools) + formatTokens(work.responseFormat);
  let tokens = 0;
  for (const text of work.texts) tokens += estimateTokens(text);
  return tokens;
}

/** A schema that the answer has to fit is given to the model with the rest of its input. */
function formatTokens(format: ResponseFormat | null): number {
  return format?.type === 'json_schema' ? estimateTokens(JSON.stringify(format.schema)) + estimateTokens(format.name ?? '') : 0;
}

export function callBackend(auth: AuthContext, model: CatalogueModel, work: ModelWork, generation: Generation, maxOutputTokens: number | null, options: ProviderCallOptions): Promise<BackendAnswer> {
  if (work.operation === 'chat') return model.provider.chat(auth, chatRequestOf(model, work, generation, maxOutputTokens), options);
  return model.provider.embed(auth, { model: model.backendModel, texts: work.texts, ...(work.dimensions === null ? {} : { dimensions: work.dimensions }) }, options);
}

export function chatRequestOf(model: CatalogueModel, work: ChatWork, generation: Generation, maxOutputTokens: number | null): ProviderChatRequest {
  const { temperature, top_p: topP, seed, frequency_penalty: frequencyPenalty, presence_penalty: presencePenalty } = generation;
  const asked: { -readonly [Member in keyof ProviderChatRequest]: ProviderChatRequest[Member] } = { model: model.backendModel, messages: work.messages, tools: work.tools, toolChoice: work.toolChoice };
  if (temperature !== undefined) asked.temperature = temperature;
  if (topP !== undefined) asked.topP = topP;
  if (maxOutputTokens !== null) asked.maxOutputTokens = Math.min(maxOutputTokens, model.maxOutputTokens ?? Number.POSITIVE_INFINITY);
  if (work.stop.length > 0) asked.stop = work.stop;
  if (seed !== undefined) asked.seed = seed;
  if (work.responseFormat !== null) asked.responseFormat = work.responseFormat;
  if (frequencyPenalty !== undefined) asked.frequencyPenalty = frequencyPenalty;
  if (presencePenalty !== undefined) asked.presencePenalty = presencePenalty;
  if (work.parallelToolCalls !== null) asked.parallelToolCalls = work.parallelToolCalls;
  return asked;
}

export function toOutput(work: ModelWork, answer: BackendAnswer): ModelResponse['output'] {
  if ('message' in answer) {
    return { type: 'chat', message: answer.message, tool_calls: [...answer.toolCalls], finish_reason: answer.finishReason };
  }
  const base64 = work.operation === 'embed' && work.encoding === 'base64';
  return { type: 'embedding', embeddings: answer.vectors.map((vector, index) => ({ index, vector: base64 ? toBase64(vector) : [...vector] })) };
}

/** Little-endian 32-bit floats, as OpenAI's API encodes them. */
function toBase64(vector: readonly number[]): string {
  const buffer = Buffer.alloc(vector.length * 4);
  for (let i = 0; i < vector.length; i += 1) buffer.writeFloatLE(vector[i]!, i * 4);
  return buffer.toString('base64');
}
