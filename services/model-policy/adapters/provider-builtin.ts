/**
 * The built-in offline model: what an installation answers with before anybody connects a model server.
 *
 * What it is: a few hundred lines of text processing that run in this process, without network, key, download or
 * chance. Equal requests give equal answers, so demonstrations, tests and the first hour work anywhere and a replayed
 * run repeats itself exactly. It
 *  - calls an offered tool that the instructions or the input name, with an input that fits the tool's schema,
 *  - tells what tools answered,
 *  - summarises by sentence salience, counts themes with the way they lean, and lists actions with quotations,
 *  - embeds text by hashed n-grams into unit vectors of 256 numbers.
 *
 * What it is not: a language model. It does not reason, translate, answer questions from knowledge or write prose,
 * and it says so when asked for such things. Sentiment comes from an English lexicon with simple negation; irony and
 * other languages escape it. Embeddings compare wording, not meaning.
 *
 * The three chat models share this engine and differ only in how much they say: key points, themes and actions in a
 * report, tokens in an answer, and the context they take. Token counts are the approximation of `metering/tokens.ts`.
 * Every answer names `builtin` in `route.backend`.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { derivedId } from '../../platform/ids.ts';
import { estimateTokens, truncateToTokens } from '../metering/tokens.ts';
import { estimateMessages } from '../metering/messages.ts';
import type {
  ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort,
} from '../ports/provider.ts';
import { answer } from './builtin/chat.ts';
import { EMBEDDING_DIMENSIONS, embedText } from './builtin/embed.ts';
import type { SummaryLimits } from './builtin/summarise.ts';
import { notOffered } from './wire/failures.ts';

interface BuiltinChatModel extends ProviderModel {
  readonly maxOutputTokens: number;
  readonly limits: SummaryLimits;
}

const CHAT_MODELS: readonly BuiltinChatModel[] = [
  { modelId: 'builtin-fast-1', capabilities: ['chat'], maxOutputTokens: 512, contextWindowTokens: 32_768, limits: { keyPoints: 3, themes: 5, actions: 5 } },
  { modelId: 'builtin-balanced-1', capabilities: ['chat'], maxOutputTokens: 2048, contextWindowTokens: 131_072, limits: { keyPoints: 5, themes: 8, actions: 8 } },
  { modelId: 'builtin-premium-1', capabilities: ['chat'], maxOutputTokens: 4096, contextWindowTokens: 262_144, limits: { keyPoints: 8, themes: 12, actions: 12 } },
];
const EMBED_MODEL: ProviderModel = { modelId: 'builtin-embed-1', capabilities: ['embed'], contextWindowTokens: 262_144 };

export class BuiltinProvider implements ProviderPort {
  readonly backend = 'builtin';
  readonly node: string;

  /** @param node the name of this stack, as `route.node` shows it */
  constructor(node: string) {
    this.node = node;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'builtin', contractVersion: '1.1', durable: false, features: ['chat', 'stream', 'embed', 'tools', 'stop', 'deterministic'] };
  }

  models(): Promise<readonly ProviderModel[]> {
    return Promise.resolve([...CHAT_MODELS.map(({ limits: _limits, ...model }) => model), EMBED_MODEL]);
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    refuseAborted(options.signal);
    const model = CHAT_MODELS.find((each) => each.modelId === request.model);
    if (model === undefined) throw noSuchModel(request.model);
    const inputTokens = estimateMessages(request.messages, request.tools);
    const result = answer(model.modelId, model.limits, request);
    if (result.kind === 'tool_call') {
      const { tool, input } = result.call;
      const toolCall = {
        tool_call_id: derivedId('tcall', traceId(options.traceparent), model.modelId, request.messages.length, tool.tool_id, JSON.stringify(input)),
        tool_id: tool.tool_id,
        name: tool.name,
        input: input as Record<string, unknown>,
      };
      return {
        message: { role: 'assistant', content: '' },
        toolCalls: [toolCall],
        usage: { inputTokens, outputTokens: estimateTokens(tool.tool_id) + estimateTokens(JSON.stringify(input)) },
        finishReason: 'tool_calls',
      };
    }
    const allowed = Math.min(request.maxOutputTokens ?? model.maxOutputTokens, model.maxOutputTokens);
    const cut = truncateToTokens(beforeStop(result.text, request.stop ?? []), allowed);
    return {
      message: { role: 'assistant', content: cut.text },
      toolCalls: [],
      usage: { inputTokens, outputTokens: estimateTokens(cut.text) },
      finishReason: cut.truncated ? 'length' : 'stop',
    };
  }

  /** The answer in pieces of a few words, always cut at the same places. */
  async *chatStream(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncGenerator<ProviderChunk, void, void> {
    const whole = await this.chat(auth, request, options);
    for (const text of pieces(whole.message.content)) {
      refuseAborted(options.signal);
      yield { type: 'content', text };
    }
    for (const [index, call] of whole.toolCalls.entries()) {
      yield { type: 'tool_call', index, id: call.tool_call_id!, toolId: call.tool_id, name: call.name, argumentsDelta: '' };
      for (const argumentsDelta of pieces(JSON.stringify(call.input))) yield { type: 'tool_call', index, argumentsDelta };
    }
    yield { type: 'usage', usage: whole.usage };
    yield { type: 'finish', reason: whole.finishReason };
  }

  async embed(_auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    refuseAborted(options.signal);
    if (request.model !== EMBED_MODEL.modelId) throw noSuchModel(request.model);
    if (request.dimensions !== undefined && request.dimensions !== EMBEDDING_DIMENSIONS) throw notOffered(this.backend, `vectors of ${request.dimensions} numbers; they have ${EMBEDDING_DIMENSIONS}`);
    let inputTokens = 0;
    for (const text of request.texts) inputTokens += estimateTokens(text);
    return { vectors: request.texts.map(embedText), usage: { inputTokens, outputTokens: 0 } };
  }

  health(): Promise<{ readonly ok: boolean }> {
    return Promise.resolve({ ok: true });
  }
}

/** A few words each; joined they are the text again. */
function pieces(text: string): readonly string[] {
  return text.match(/(?:\s*\S+){1,4}\s*|\s+/g) ?? [];
}

function beforeStop(text: string, stop: readonly string[]): string {
  const ends = stop.filter((each) => each !== '').map((each) => text.indexOf(each)).filter((at) => at >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}

/** The trace tells runs apart, so that equal calls of two runs get identifiers of their own. */
function traceId(traceparent: string): string {
  return traceparent.split('-')[1] ?? traceparent;
}

function refuseAborted(signal: DepartureSignal): void {
  if (signal.aborted) throw new AgentOsError('timeout', { message: 'The call was given up before the built-in model answered.' });
}

function noSuchModel(model: string): AgentOsError {
  return new AgentOsError('not_found', {
    message: `The built-in backend has no such model for this operation: ${model}. It has ${[...CHAT_MODELS, EMBED_MODEL].map((each) => each.modelId).join(', ')}.`,
    details: { reason: 'model_not_found', model },
  });
}
