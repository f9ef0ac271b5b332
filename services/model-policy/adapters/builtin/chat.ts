/**
 * The built-in model's answer to a conversation. In this order:
 *
 * 1. A tool that the instructions or the input name, and that was not called since the user last spoke, is called.
 * 2. Asked for a summary, themes, or an action list, it reports on the user's text, with the figures that tools gave.
 * 3. With tool results at hand it tells them.
 * 4. Otherwise it says what it is and repeats or condenses the input.
 */
import type { ChatMessage, ModelToolDescriptor } from '../../../../generated/types/index.ts';
import { isRecord, readConversation, type Conversation, type ToolAnswer } from './conversation.ts';
import { quotable } from './actions.ts';
import { salientSentences } from './salience.ts';
import { asksForSummary, summarise, withoutRequest, type SummaryLimits } from './summarise.ts';
import { items, prose, words } from './text.ts';
import { intendedCall, type IntendedCall } from './tool-intent.ts';

export type BuiltinAnswer =
  | { readonly kind: 'tool_call'; readonly call: IntendedCall }
  | { readonly kind: 'text'; readonly text: string };

export function answer(
  model: string,
  limits: SummaryLimits,
  request: { readonly messages: readonly ChatMessage[]; readonly tools: readonly ModelToolDescriptor[]; readonly toolChoice: string },
): BuiltinAnswer {
  const conversation = readConversation(request.messages);
  const intent = intendedCall(conversation, request.tools, request.toolChoice);
  if (intent.kind === 'call') return { kind: 'tool_call', call: intent.call };
  const told = toldResults(conversation);
  if (intent.kind === 'missing') {
    return text(`${told === '' ? '' : `${told}\n`}I cannot call ${intent.tool.tool_id}: the text gives no value for “${intent.property}”. Write it as ${intent.property}=… or give the input as JSON after the tool's name.`);
  }
  if (wantsSummary(conversation, told)) {
    return text(summarise(conversation.input, limits, told === '' ? null : told));
  }
  return text(told === '' ? plainAnswer(model, conversation.input) : told);
}

/** A word such as "feedback" in a short message does not make a report out of a tool's answer. */
function wantsSummary(conversation: Conversation, told: string): boolean {
  if (asksForSummary(conversation.instructions)) return true;
  if (!asksForSummary(conversation.input.slice(0, 400))) return false;
  return told === '' || words(withoutRequest(conversation.input)).length >= 25;
}

function text(content: string): BuiltinAnswer {
  return { kind: 'text', text: content };
}

function plainAnswer(model: string, input: string): string {
  const about = `I am ${model}, the built-in offline model: I summarise text and call tools that are named, and do not generate prose.`;
  const said = input.trim();
  if (said === '') return `${about} The message was empty.`;
  if (words(said).length <= 60) return `${about} You wrote: ${said}`;
  const points = salientSentences(items(said).map(prose), 3).map((sentence) => `- ${quotable(sentence)}`);
  return `${about} The main points of what you wrote:\n${points.join('\n')}`;
}

function toldResults(conversation: Conversation): string {
  const single = conversation.answers.length === 1;
  return conversation.answers.map((each) => tell(each, single)).join('\n');
}

/** A text result as it is, figures as one line, anything else as compact JSON. */
function tell(result: ToolAnswer, single: boolean): string {
  if (result.error !== null) return `${result.name} failed: ${result.error}`;
  const output = result.output;
  const plain = plainText(output);
  if (plain !== null) return single ? plain : `${result.name}: ${plain}`;
  if (isRecord(output)) {
    const entries = Object.entries(output);
    if (entries.length > 0 && entries.every(([, value]) => typeof value === 'number')) return `${result.name}: ${entries.map(figure).join(', ')}.`;
    if (entries.length > 0 && entries.every(([, value]) => value === null || typeof value !== 'object')) {
      return `${result.name}: ${entries.map(([name, value]) => `${name} = ${String(value)}`).join(', ')}`;
    }
  }
  const json = JSON.stringify(output) ?? 'no output';
  return `${result.name}: ${json.length > 2000 ? `${json.slice(0, 2000)}…` : json}`;
}

function plainText(output: unknown): string | null {
  if (typeof output === 'string') return output;
  if (!isRecord(output)) return null;
  const keys = Object.keys(output);
  const only = keys.length === 1 ? output[keys[0]!] : undefined;
  return typeof only === 'string' ? only : null;
}

function figure([name, value]: readonly [string, unknown]): string {
  const number = value as number;
  const shown = Number.isInteger(number) ? number.toString().replace(/\B(?=(\d{3})+$)/g, ',') : String(Math.round(number * 100) / 100);
  return `${shown} ${name.replaceAll('_', ' ')}`;
}
