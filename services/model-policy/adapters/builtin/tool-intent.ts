/**
 * Which offered tool the words ask for, and with what input.
 *
 * A tool is asked for when the instructions or the latest user input name it: by its id (`tool.kv.put`) anywhere,
 * by its bare name (`echo`) only next to a verb that calls ("use echo", "the echo tool"), since a bare name is
 * often an ordinary word. A negation before the name ("never use tool.kv.put") takes it back. A tool that has been
 * called since the user last spoke is not asked for again, so a conversation always comes to an answer.
 */
import type { ModelToolDescriptor } from '../../../../generated/types/index.ts';
import type { Conversation } from './conversation.ts';
import { isRecord } from './conversation.ts';
import { fillInput, fits } from './schema-fill.ts';

export interface IntendedCall {
  readonly tool: ModelToolDescriptor;
  readonly input: unknown;
}

interface ToolMention {
  readonly tool: ModelToolDescriptor;
  /** Where the name ends, in the text that holds it. */
  readonly end: number;
  readonly start: number;
  readonly inInput: boolean;
}

export type Intent =
  | { readonly kind: 'call'; readonly call: IntendedCall }
  /** A tool is asked for, but the text gives no value for a property it requires. */
  | { readonly kind: 'missing'; readonly tool: ModelToolDescriptor; readonly property: string }
  | { readonly kind: 'none' };

/** The next tool to call. `toolChoice`: `auto`, `none`, `required`, or a tool's id or name. */
export function intendedCall(conversation: Conversation, tools: readonly ModelToolDescriptor[], toolChoice: string): Intent {
  if (toolChoice === 'none' || tools.length === 0) return { kind: 'none' };
  const open = tools.filter((tool) => !conversation.called.has(tool.tool_id) && !conversation.called.has(tool.name));
  const chosen = open.find((tool) => tool.tool_id === toolChoice || tool.name === toolChoice);
  const mentions = [
    ...findMentions(conversation.instructions, open, false),
    ...findMentions(conversation.input, open, true),
  ];
  const first = chosen === undefined ? mentions[0] : mentions.find((mention) => mention.tool === chosen);
  const tool = chosen ?? first?.tool ?? (toolChoice === 'required' && conversation.called.size === 0 ? open[0] : undefined);
  if (tool === undefined) return { kind: 'none' };
  const spoken = mentions.filter((mention) => mention.tool === tool).at(-1);
  return buildCall(tool, conversation, spoken, mentions);
}

function buildCall(tool: ModelToolDescriptor, conversation: Conversation, mention: ToolMention | undefined, all: readonly ToolMention[]): Intent {
  const schema = isRecord(tool.input_schema) ? tool.input_schema : {};
  const after = mention === undefined ? '' : textAfter(conversation, mention, all);
  const given = firstJsonObject(after) ?? (mention?.inInput === true ? null : wholeJsonObject(conversation.input));
  if (given !== null && fits(schema, given)) return { kind: 'call', call: { tool, input: given } };
  const main = mainText(conversation.input, mention, after);
  const text = mention?.inInput === true ? after || conversation.input : `${after}\n${conversation.input}`;
  const filled = fillInput(schema, { text, main });
  return 'input' in filled ? { kind: 'call', call: { tool, input: filled.input } } : { kind: 'missing', tool, property: filled.missing };
}

function findMentions(text: string, tools: readonly ModelToolDescriptor[], inInput: boolean): ToolMention[] {
  const out: ToolMention[] = [];
  for (const tool of tools) {
    const at = mentionOf(text, tool);
    if (at !== null) out.push({ tool, ...at, inInput });
  }
  return out.sort((a, b) => a.start - b.start);
}

function mentionOf(text: string, tool: ModelToolDescriptor): { start: number; end: number } | null {
  const byId = standsAlone(text, tool.tool_id, () => true);
  if (byId !== null) return byId;
  const specific = /[_.\d]/.test(tool.name);
  return standsAlone(text, tool.name, (start, end) =>
    specific
    || /(?:^|[^\p{L}])(?:call|calls|calling|use|using|run|invoke|invoking|with|via)\s+(?:the\s+)?[`'"“]?$/iu.test(text.slice(Math.max(0, start - 24), start))
    || /^[`'"”]?\s+tool\b/i.test(text.slice(end, end + 8)));
}

/** The first place where `name` is a token of its own, is not negated, and `accept` agrees. */
function standsAlone(text: string, name: string, accept: (start: number, end: number) => boolean): { start: number; end: number } | null {
  if (name === '') return null;
  const lower = text.toLowerCase();
  const wanted = name.toLowerCase();
  for (let start = lower.indexOf(wanted); start >= 0; start = lower.indexOf(wanted, start + 1)) {
    const end = start + wanted.length;
    const before = lower.charAt(start - 1);
    const tail = lower.slice(end, end + 2);
    if (/[\p{L}\p{N}_.]/u.test(before) || /^[\p{L}\p{N}_]|^\.[\p{L}\p{N}_]/u.test(tail)) continue;
    if (/\b(?:not|never|without|don't|don’t|avoid|instead of|except)\s+(?:\p{L}+\s+){0,3}[`'"“]?$/u.test(lower.slice(Math.max(0, start - 48), start))) continue;
    if (accept(start, end)) return { start, end };
  }
  return null;
}

/** The text behind the mention, up to where the next tool is named. */
function textAfter(conversation: Conversation, mention: ToolMention, all: readonly ToolMention[]): string {
  const text = mention.inInput ? conversation.input : conversation.instructions;
  const next = all.find((other) => other.inInput === mention.inInput && other.start > mention.end);
  const end = next === undefined ? text.length : next.start;
  const after = text.slice(mention.end, end);
  // "… then call " belongs to the tool named next.
  return next === undefined ? after : after.replace(/[,;.]?\s*(?:and|then|and then|after that,?)?\s*(?:call|use|run|invoke)?\s*[`'"“]?$/i, '');
}

/** What the user wants handed over: the words behind the tool's name where there are any, else the whole input. */
function mainText(input: string, mention: ToolMention | undefined, after: string): string {
  if (mention?.inInput !== true) return input;
  const rest = after
    .replace(/^[`'"”]?(?:\s+tool\b)?[\s:,–-]*(?:(?:please|now|again|once)\b[\s,]*)*(?:(?:with|on|for|to say|to|and say|saying)\b(?:\s+the\s+(?:text|message|input|words?)\b)?)?[\s:]*/i, '')
    .replace(/^(?:please|now|thanks|thank you)[.!]*$/i, '')
    .trim();
  // A quotation is what the words point at, unless it stands inside JSON.
  const quoted = rest.startsWith('{') ? undefined : /["“]([^"”]+)["”]/.exec(after)?.[1];
  if (quoted !== undefined) return quoted;
  return /[\p{L}\p{N}]/u.test(rest) ? rest : input;
}

/** The first balanced JSON object in the text, or null. */
function firstJsonObject(text: string): Record<string, unknown> | null {
  const start = text.indexOf('{');
  if (start < 0) return null;
  let depth = 0;
  let inString = false;
  for (let i = start; i < text.length; i += 1) {
    const char = text[i];
    if (inString) {
      if (char === '\\') i += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{') depth += 1;
    else if (char === '}' && (depth -= 1) === 0) return wholeJsonObject(text.slice(start, i + 1));
  }
  return null;
}

function wholeJsonObject(text: string): Record<string, unknown> | null {
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return null;
  try {
    const value = JSON.parse(trimmed) as unknown;
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
