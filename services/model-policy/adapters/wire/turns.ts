/**
 * A conversation as the vendors want it that keep instructions apart, let user and assistant speak in turn, and take
 * tool answers as blocks of the user's turn. What a block looks like is the vendor's.
 */
import type { ProviderChatRequest } from '../../ports/provider.ts';
import { argumentsObject, pairCalls, type FunctionNames } from './tools.ts';

export interface Turn<Block> {
  readonly role: 'user' | 'assistant';
  readonly content: Block[];
}

export interface BlockMaker<Block> {
  text(text: string): Block;
  call(id: string, name: string, input: Record<string, unknown>): Block;
  answer(callId: string, content: string): Block;
}

export interface Conversation<Block> {
  /** Empty where there are none. */
  readonly system: string;
  readonly turns: readonly Turn<Block>[];
  /** Names of the functions that were called so far. */
  readonly called: ReadonlySet<string>;
}

export function toConversation<Block>(request: ProviderChatRequest, names: FunctionNames, make: BlockMaker<Block>): Conversation<Block> {
  const instructions: string[] = [];
  const turns: Turn<Block>[] = [];
  const called = new Set<string>();
  const say = (role: Turn<Block>['role'], blocks: readonly Block[]): void => {
    if (blocks.length === 0) return;
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...blocks);
    else turns.push({ role, content: [...blocks] });
  };
  for (const { message, calls, answers } of pairCalls(request.messages)) {
    // Blocks of nothing but white space are refused.
    const said = message.content === null || message.content.trim() === '' ? [] : [message.content];
    if (message.role === 'system') instructions.push(...said);
    else if (answers !== null) say('user', [make.answer(allowedId(answers), message.content ?? '')]);
    else if (message.role === 'user') say('user', said.map(make.text));
    else {
      say('assistant', [...said.map(make.text), ...calls.map((call) => {
        const name = names.nameOf(call.tool_id, call.name);
        called.add(name);
        return make.call(allowedId(call.tool_call_id), name, argumentsObject(call.input));
      })]);
    }
  }
  const system = instructions.join('\n\n');
  // Instructions alone are a conversation elsewhere; here somebody must have spoken.
  if (turns.length === 0 && system !== '') return { system: '', turns: [{ role: 'user', content: [make.text(system)] }], called };
  return { system, turns, called };
}

/** Ids of calls that another backend made may hold characters that are refused here. */
function allowedId(id: string): string {
  return id.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64);
}
