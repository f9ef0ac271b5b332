/** The whole answer out of the pieces of a stream, as `chat` would have given it. */
import type { ProviderChatAnswer, ProviderChunk, ProviderUsage } from './provider.ts';

interface CallParts {
  readonly id: string | undefined;
  readonly toolId: string;
  readonly name: string;
  written: string;
}

export class AnswerAssembly {
  private readonly texts: string[] = [];
  private readonly calls: CallParts[] = [];
  private usage: ProviderUsage | null = null;
  private reason: ProviderChatAnswer['finishReason'] | null = null;

  add(chunk: ProviderChunk): void {
    if (chunk.type === 'content') this.texts.push(chunk.text);
    else if (chunk.type === 'usage') this.usage = chunk.usage;
    else if (chunk.type === 'finish') this.reason = chunk.reason;
    else {
      const call = (this.calls[chunk.index] ??= { id: chunk.id, toolId: chunk.toolId ?? chunk.name ?? '', name: chunk.name ?? '', written: '' });
      call.written += chunk.argumentsDelta;
    }
  }

  /** As far as it has come. */
  get content(): string {
    return this.texts.join('');
  }

  /** null while usage or finish is missing. */
  answer(): ProviderChatAnswer | null {
    if (this.usage === null || this.reason === null) return null;
    return {
      message: { role: 'assistant', content: this.content },
      toolCalls: this.calls.map((call) => ({ ...(call.id === undefined ? {} : { tool_call_id: call.id }), tool_id: call.toolId, name: call.name, input: readArguments(call.written) })),
      usage: this.usage,
      finishReason: this.reason,
    };
  }
}

/** Arguments that are no JSON are handed on as they are: the tool's schema refuses them and the model learns of it. */
export function readArguments(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw ?? {};
  if (raw.trim() === '') return {};
  try {
    return JSON.parse(raw) as unknown;
  } catch {
    return raw;
  }
}
