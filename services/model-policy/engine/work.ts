/** One model call between the wire and a backend: what is asked, what is judged, and what comes back. */
import type { ChatMessage, Generation, ModelRequest, ModelResponse, ModelToolDescriptor } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { estimateMessages } from '../metering/messages.ts';
import { estimateTokens } from '../metering/tokens.ts';
import { judgeAnswer, judgeChat, judgeTexts } from '../policy/guard.ts';
import type { Judgement } from '../policy/evaluate.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderEmbedAnswer } from '../ports/provider.ts';
import type { CatalogueModel } from '../router/catalogue.ts';

export type ModelWork =
  | { readonly operation: 'chat'; readonly messages: readonly ChatMessage[]; readonly tools: readonly ModelToolDescriptor[]; readonly toolChoice: string }
  | { readonly operation: 'embed'; readonly texts: readonly string[]; readonly encoding: 'float' | 'base64' };

export type BackendAnswer = ProviderChatAnswer | ProviderEmbedAnswer;

/** @throws AgentOsError invalid_request when the input does not fit the operation. */
export function readWork(request: ModelRequest): ModelWork {
  const { input } = request;
  if (request.operation === 'chat') {
    if (!('messages' in input)) throw misfit('chat', 'messages');
    return { operation: 'chat', messages: input.messages, tools: input.tools ?? [], toolChoice: input.tool_choice ?? 'auto' };
  }
  if (!('texts' in input)) throw misfit('embed', 'texts');
  return { operation: 'embed', texts: input.texts, encoding: input.encoding_format ?? 'float' };
}

function misfit(operation: string, member: string): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `Operation ${operation} needs request.input.${member}.`,
    details: { errors: [{ path: `/request/input/${member}`, message: 'is required' }] },
  });
}

export function judgeWork(judgement: Judgement, work: ModelWork): ModelWork {
  return work.operation === 'chat' ? { ...work, ...judgeChat(judgement, work) } : { ...work, texts: judgeTexts(judgement, work.texts) };
}

export function judgeBackendAnswer(judgement: Judgement, answer: BackendAnswer): BackendAnswer {
  return 'message' in answer ? judgeAnswer(judgement, answer) : answer;
}

export function workTokens(work: ModelWork): number {
  if (work.operation === 'chat') return estimateMessages(work.messages, work.tools);
  let tokens = 0;
  for (const text of work.texts) tokens += estimateTokens(text);
  return tokens;
}

export function callBackend(auth: AuthContext, model: CatalogueModel, work: ModelWork, generation: Generation, maxOutputTokens: number | null, options: ProviderCallOptions): Promise<BackendAnswer> {
  if (work.operation === 'embed') return model.provider.embed(auth, { model: model.backendModel, texts: work.texts }, options);
  const output = Math.min(maxOutputTokens ?? Number.POSITIVE_INFINITY, model.maxOutputTokens ?? Number.POSITIVE_INFINITY);
  return model.provider.chat(auth, {
    model: model.backendModel,
    messages: work.messages,
    tools: work.tools,
    toolChoice: work.toolChoice,
    ...(generation.temperature === undefined ? {} : { temperature: generation.temperature }),
    ...(generation.top_p === undefined ? {} : { topP: generation.top_p }),
    ...(maxOutputTokens === null ? {} : { maxOutputTokens: output }),
  }, options);
}

export function toOutput(work: ModelWork, answer: BackendAnswer): ModelResponse['output'] {
  if ('message' in answer) {
    return { type: 'chat', message: answer.message, tool_calls: [...answer.toolCalls] };
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
