/**
 * The guard around a model call: every member that carries text is judged, in the request before any backend sees it
 * and in the answer before the caller does. A guard that fails blocks: an error in here never lets a text pass.
 */
import type { ChatMessage, ModelToolCall, ModelToolDescriptor } from '../../../generated/types/index.ts';
import type { Judgement } from './evaluate.ts';

export interface GuardedChat {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ModelToolDescriptor[];
}

/** What `judge` makes of `value`. A throw becomes the block `guard_failed`, and `onError` hears of it. */
export function guarded<Value>(judgement: Judgement, value: Value, judge: (judgement: Judgement, value: Value) => Value, onError: (error: unknown) => void): Value {
  try {
    return judge(judgement, value);
  } catch (error) {
    onError(error);
    judgement.block('guard_failed');
    return value;
  }
}

export function judgeChat(judgement: Judgement, chat: GuardedChat): GuardedChat {
  for (const tool of chat.tools) judgement.tool(tool);
  return {
    messages: chat.messages.map((message, index) => judgeMessage(judgement, message, `/input/messages/${index}`)),
    tools: chat.tools.map((tool, index) => judgeTool(judgement, tool, `/input/tools/${index}`)),
  };
}

export function judgeTexts(judgement: Judgement, texts: readonly string[]): readonly string[] {
  return texts.map((text, index) => judgement.text(text, `/input/texts/${index}`));
}

export function judgeAnswer<Answer extends { readonly message: { readonly content: string }; readonly toolCalls: readonly ModelToolCall[] }>(judgement: Judgement, answer: Answer): Answer {
  judgement.turnToAnswer();
  for (const call of answer.toolCalls) judgement.tool(call);
  const content = judgement.text(answer.message.content, '/output/message/content');
  const toolCalls = answer.toolCalls.map((call, index) => judgeCall(judgement, call, `/output/tool_calls/${index}`));
  return { ...answer, message: { ...answer.message, content }, toolCalls };
}

function judgeMessage(judgement: Judgement, message: ChatMessage, place: string): ChatMessage {
  const content = message.content === null ? null : judgement.text(message.content, `${place}/content`);
  const name = message.name === undefined ? undefined : judgement.text(message.name, `${place}/name`);
  if (message.tool_call_id !== undefined) judgeId(judgement, message.tool_call_id, `${place}/tool_call_id`);
  for (const [index, call] of (message.tool_calls ?? []).entries()) {
    judgement.identifier(call.name, `${place}/tool_calls/${index}/name`);
    if (call.tool_call_id !== undefined) judgeId(judgement, call.tool_call_id, `${place}/tool_calls/${index}/tool_call_id`);
  }
  const calls = message.tool_calls?.map((call, index) => judgeCall(judgement, call, `${place}/tool_calls/${index}`));
  if (content === message.content && name === message.name && calls === undefined) return message;
  return { ...message, content, ...(name === undefined ? {} : { name }), ...(calls === undefined ? {} : { tool_calls: calls }) };
}

function judgeCall(judgement: Judgement, call: ModelToolCall, place: string): ModelToolCall {
  return { ...call, input: judgement.value(call.input, `${place}/input`) };
}

/** What vendors make up at random says nothing, and may look like a number of any kind. Anything else is a text. */
const RANDOM_ID = /^[A-Za-z0-9_.:-]{1,64}$/;

function judgeId(judgement: Judgement, id: string, place: string): void {
  if (!RANDOM_ID.test(id)) judgement.identifier(id, place);
}

/** Names, descriptions and schemas reach the model as text too. */
function judgeTool(judgement: Judgement, tool: ModelToolDescriptor, place: string): ModelToolDescriptor {
  judgement.identifier(tool.name, `${place}/name`);
  const description = tool.description === undefined ? undefined : judgement.text(tool.description, `${place}/description`);
  const schema = judgement.value(tool.input_schema, `${place}/input_schema`) as ModelToolDescriptor['input_schema'];
  return { ...tool, ...(description === undefined ? {} : { description }), input_schema: schema };
}
