/** Bedrock's Converse: one form for the chat models of all vendors there. */
import type { ContentBlock, ConverseCommandInput, ConverseCommandOutput, ConverseStreamOutput, TokenUsage, Tool } from '@aws-sdk/client-bedrock-runtime';
import type { ModelToolCall } from '../../../../generated/types/index.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderChunk } from '../../ports/provider.ts';
import { CallPieces } from '../wire/call-pieces.ts';
import { isCount } from '../wire/json.ts';
import { offeredTools, type CallIds, type FunctionNames } from '../wire/tools.ts';
import { toConversation, type BlockMaker } from '../wire/turns.ts';
import { chatUsage } from '../wire/usage.ts';

/** The SDK's type for any JSON. */
type Document = NonNullable<Extract<ContentBlock, { toolUse: unknown }>['toolUse']['input']>;

const BLOCKS: BlockMaker<ContentBlock> = {
  text: (text) => ({ text }),
  call: (toolUseId, name, input) => ({ toolUse: { toolUseId, name, input: input as Document } }),
  // An empty text is refused.
  answer: (toolUseId, content) => ({ toolResult: { toolUseId, content: [{ text: content.trim() === '' ? '(no output)' : content }] } }),
};

export function toConverseInput(request: ProviderChatRequest, names: FunctionNames): ConverseCommandInput {
  const { system, turns, called } = toConversation(request, names, BLOCKS);
  const stop = (request.stop ?? []).filter((each) => each !== '');
  const limit = request.maxOutputTokens;
  const inference = {
    ...(limit !== undefined && Number.isFinite(limit) ? { maxTokens: limit } : {}),
    ...(request.temperature === undefined ? {} : { temperature: Math.min(1, request.temperature) }),
    ...(request.topP === undefined || request.temperature !== undefined ? {} : { topP: request.topP }),
    ...(stop.length === 0 ? {} : { stopSequences: stop }),
  };
  const format = request.responseFormat;
  return {
    modelId: request.model,
    messages: turns.map(({ role, content }) => ({ role, content })),
    ...(system === '' ? {} : { system: [{ text: system }] }),
    ...(Object.keys(inference).length === 0 ? {} : { inferenceConfig: inference }),
    ...toolConfig(request, names, called),
    ...(format?.type !== 'json_schema' ? {} : {
      outputConfig: { textFormat: { type: 'json_schema', structure: { jsonSchema: { schema: JSON.stringify(format.schema), ...(format.name === undefined ? {} : { name: format.name }) } } } },
    }),
  };
}

/**
 * Converse refuses a conversation with tool calls in it when no tools are declared, and knows no choice "none". Then the
 * tools that were called are declared as they are remembered.
 */
function toolConfig(request: ProviderChatRequest, names: FunctionNames, called: ReadonlySet<string>): Pick<ConverseCommandInput, 'toolConfig'> {
  const tools: Tool[] = offeredTools(request.tools, request.toolChoice === 'none' ? 'none' : 'auto').map((tool) => ({
    toolSpec: { name: names.nameOf(tool.tool_id, tool.name), description: tool.description ?? tool.name, inputSchema: { json: tool.input_schema as Document } },
  }));
  if (tools.length === 0) {
    if (called.size === 0) return {};
    return { toolConfig: { tools: [...called].map((name): Tool => ({ toolSpec: { name, inputSchema: { json: { type: 'object' } } } })) } };
  }
  const chosen = names.find(request.toolChoice);
  return { toolConfig: { tools, ...(chosen !== undefined ? { toolChoice: { tool: { name: chosen } } } : request.toolChoice === 'required' ? { toolChoice: { any: {} } } : {}) } };
}

/** null when the answer has no message. */
export function readConverse(output: ConverseCommandOutput, request: ProviderChatRequest, names: FunctionNames, ids: CallIds): ProviderChatAnswer | null {
  const blocks = output.output?.message?.content;
  if (blocks === undefined) return null;
  const content = blocks.map((block) => block.text ?? '').join('');
  const toolCalls: ModelToolCall[] = [];
  for (const { toolUse } of blocks) {
    if (toolUse?.name === undefined) continue;
    toolCalls.push({ tool_call_id: ids.idOf(toolUse.toolUseId, toolCalls.length, toolUse.name), ...names.toolOf(toolUse.name), input: toolUse.input ?? {} });
  }
  return {
    message: { role: 'assistant', content },
    toolCalls,
    usage: readUsage(output.usage, request, () => content + toolCalls.map((call) => `${call.name}${JSON.stringify(call.input)}`).join('')),
    finishReason: readStopReason(output.stopReason, toolCalls.length > 0),
  };
}

/** What was read from or written to the cache is input all the same. */
function readUsage(usage: TokenUsage | undefined, request: ProviderChatRequest, written: () => string): ProviderChatAnswer['usage'] {
  const input = isCount(usage?.inputTokens) ? usage.inputTokens + (usage.cacheReadInputTokens ?? 0) + (usage.cacheWriteInputTokens ?? 0) : undefined;
  return chatUsage(input, usage?.outputTokens, request, written);
}

function readStopReason(raw: string | undefined, hasCalls: boolean): ProviderChatAnswer['finishReason'] {
  if (raw === 'max_tokens' || raw === 'model_context_window_exceeded') return 'length';
  if (raw === 'guardrail_intervened' || raw === 'content_filtered') return 'content_filter';
  return hasCalls ? 'tool_calls' : 'stop';
}

export class ConverseStreamReader {
  private readonly request: ProviderChatRequest;
  private readonly calls: CallPieces;
  private readonly texts: string[] = [];
  private usage: TokenUsage | undefined;
  private stopReason: string | undefined;

  constructor(request: ProviderChatRequest, names: FunctionNames, ids: CallIds) {
    this.request = request;
    this.calls = new CallPieces(names, ids);
  }

  /** Exceptions inside the stream are thrown by the SDK, not handed over. */
  read(event: ConverseStreamOutput): readonly ProviderChunk[] {
    if (event.messageStop !== undefined) this.stopReason = event.messageStop.stopReason ?? 'end_turn';
    if (event.metadata !== undefined) this.usage = event.metadata.usage;
    const place = event.contentBlockStart?.contentBlockIndex ?? event.contentBlockDelta?.contentBlockIndex ?? null;
    const started = event.contentBlockStart?.start?.toolUse;
    if (started !== undefined) return this.calls.add({ place, id: started.toolUseId ?? '', name: started.name ?? '', argumentsDelta: '' });
    const delta = event.contentBlockDelta?.delta;
    if (delta?.toolUse !== undefined) return this.calls.add({ place, id: '', name: '', argumentsDelta: delta.toolUse.input ?? '' });
    if (delta?.text === undefined || delta.text === '') return [];
    this.texts.push(delta.text);
    return [{ type: 'content', text: delta.text }];
  }

  /** null where the answer broke off. */
  end(): readonly ProviderChunk[] | null {
    if (this.stopReason === undefined) return null;
    const last = this.calls.end();
    return [
      ...last,
      { type: 'usage', usage: readUsage(this.usage, this.request, () => this.texts.join('') + this.calls.written()) },
      { type: 'finish', reason: readStopReason(this.stopReason, this.calls.any) },
    ];
  }
}
