/**
 * Tools on their way to a backend and back. They cross under a function name, which allows fewer characters than a tool
 * id does; the names of one call are kept in a `FunctionNames`, so that what comes back is told by its id again.
 */
import type { ChatMessage, ModelToolCall, ModelToolDescriptor } from '../../../../generated/types/index.ts';
import { derivedId } from '../../../platform/ids.ts';

const MAX_FUNCTION_NAME = 64;

/** Function names of one call, and the tools behind them. */
export class FunctionNames {
  private readonly toolByName = new Map<string, ModelToolDescriptor>();
  private readonly nameById = new Map<string, string>();

  constructor(tools: readonly ModelToolDescriptor[]) {
    for (const tool of tools) {
      const base = allowedName(tool.name);
      let name = base;
      for (let number = 2; this.toolByName.has(name); number += 1) name = `${base.slice(0, MAX_FUNCTION_NAME - 4)}_${number}`;
      this.toolByName.set(name, tool);
      this.nameById.set(tool.tool_id, name);
    }
  }

  nameOf(toolId: string, name: string): string {
    return this.nameById.get(toolId) ?? allowedName(name);
  }

  /** By id or by offered name; undefined when no such tool is offered. */
  find(toolChoice: string): string | undefined {
    for (const [name, tool] of this.toolByName) if (tool.tool_id === toolChoice || tool.name === toolChoice) return name;
    return undefined;
  }

  /** A name that was never offered stands for itself: whether it may be called is not decided here. */
  toolOf(name: string): { readonly tool_id: string; readonly name: string } {
    const tool = this.toolByName.get(name);
    return tool === undefined ? { tool_id: name, name } : { tool_id: tool.tool_id, name: tool.name };
  }
}

export function allowedName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, MAX_FUNCTION_NAME);
}

/** The tools that are offered under a choice that the vendor has no word for: none, the chosen one, or all. */
export function offeredTools(tools: readonly ModelToolDescriptor[], toolChoice: string): readonly ModelToolDescriptor[] {
  if (toolChoice === 'none') return [];
  const chosen = tools.filter((tool) => tool.tool_id === toolChoice || tool.name === toolChoice);
  return chosen.length > 0 ? chosen : tools;
}

/** For vendors that take nothing but an object: what a model wrote in place of one is wrapped. */
export function argumentsObject(input: unknown): Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? (input as Record<string, unknown>) : { arguments: input ?? null };
}

/** Names calls that a backend left without an id: the same for the same place in the same trace, streamed or not. */
export class CallIds {
  private readonly traceparent: string;
  private readonly messages: number;
  private readonly used: string[] = [];

  constructor(traceparent: string, messages: readonly ChatMessage[]) {
    this.traceparent = traceparent;
    this.messages = messages.length;
  }

  /** The vendor's own id, unless it is missing, no id (`0`, as TGI sends it), or was used in this answer before. */
  idOf(given: unknown, index: number, name: string): string {
    const own = typeof given === 'string' && /\D/.test(given) && !this.used.includes(given) ? given : derivedId('tcall', this.traceparent.split('-')[1] ?? '', this.messages, index, name);
    this.used.push(own);
    return own;
  }
}

/** Gives each call and each answer of a conversation an id; where a caller left ids out, they are paired in order. */
export function pairCalls(messages: readonly ChatMessage[]): readonly PairedMessage[] {
  const unanswered: string[] = [];
  let made = 0;
  return messages.map((message): PairedMessage => {
    if (message.role === 'tool') {
      const id = message.tool_call_id ?? unanswered[0] ?? 'call_unknown';
      if (unanswered.includes(id)) unanswered.splice(unanswered.indexOf(id), 1);
      return { message, calls: [], answers: id };
    }
    if (message.role !== 'assistant' || message.tool_calls === undefined) return { message, calls: NO_CALLS, answers: null };
    const calls = message.tool_calls.map((call) => {
      const id = call.tool_call_id ?? `call_${(made += 1)}`;
      unanswered.push(id);
      return { ...call, tool_call_id: id };
    });
    return { message, calls, answers: null };
  });
}

const NO_CALLS: PairedMessage['calls'] = [];

export interface PairedMessage {
  readonly message: ChatMessage;
  readonly calls: readonly (ModelToolCall & { readonly tool_call_id: string })[];
  /** In a message of role `tool`: the call it answers. */
  readonly answers: string | null;
}
