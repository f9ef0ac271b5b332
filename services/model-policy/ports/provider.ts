/**
 * ProviderPort: one model backend (PRS 6.3). An adapter speaks its vendor's wire format and nothing else: who may
 * call, for how much and under which policy is decided before it is asked.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ChatMessage, ModelToolDescriptor, ModelToolCall } from '../../../generated/types/index.ts';

export interface ProviderModel {
  readonly modelId: string;
  readonly capabilities: readonly ('chat' | 'embed')[];
  readonly maxOutputTokens?: number;
  readonly contextWindowTokens?: number;
}

export interface ProviderCallOptions {
  readonly signal: DepartureSignal;
  /** Sent as it is: its span is the call's own. Empty: the call belongs to no trace. */
  readonly traceparent: string;
  /** Told how long the call waited for room, in milliseconds, where a backend takes only so many at once. */
  readonly onQueued?: (waitedMs: number) => void;
}

export interface ProviderChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ModelToolDescriptor[];
  /** `auto`, `none`, or a tool's name or id. */
  readonly toolChoice: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxOutputTokens?: number;
  /** The answer ends before the first of these; it is not part of the answer. */
  readonly stop?: readonly string[];
  /** This and the members below are best effort: a backend that does not know one answers without it. */
  readonly seed?: number;
  readonly responseFormat?: ResponseFormat;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  /** False: one tool call an answer. */
  readonly parallelToolCalls?: boolean;
}

export type ResponseFormat =
  | { readonly type: 'text' | 'json_object' }
  | { readonly type: 'json_schema'; readonly name?: string; readonly schema: Readonly<Record<string, unknown>>; readonly strict?: boolean };

export interface ProviderUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** True when the backend did not say and the adapter estimated. */
  readonly estimated?: boolean;
}

export interface ProviderChatAnswer {
  readonly message: { readonly role: 'assistant'; readonly content: string };
  readonly toolCalls: readonly ModelToolCall[];
  readonly usage: ProviderUsage;
  readonly finishReason: 'stop' | 'length' | 'tool_calls' | 'content_filter';
}

/**
 * A piece of a streamed answer. Text and tool calls come as the backend sends them; then one `usage` and, last, one
 * `finish`. A stream that ends without `finish` has thrown.
 *
 * The first piece of a tool call carries `id`, `toolId` and `name`; pieces of the same `index` belong together, and
 * their `argumentsDelta` joined are the arguments as JSON, or the text that a model wrote in place of JSON. Indices
 * count up from 0 without gaps.
 */
export type ProviderChunk =
  | { readonly type: 'content'; readonly text: string }
  | { readonly type: 'tool_call'; readonly index: number; readonly id?: string; readonly toolId?: string; readonly name?: string; readonly argumentsDelta: string }
  | { readonly type: 'usage'; readonly usage: ProviderUsage }
  | { readonly type: 'finish'; readonly reason: ProviderChatAnswer['finishReason'] };

export interface ProviderEmbedRequest {
  readonly model: string;
  readonly texts: readonly string[];
  /** Length of the vectors, where the model can; a backend that cannot shorten them refuses. */
  readonly dimensions?: number;
}

export interface ProviderEmbedAnswer {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[];
  readonly usage: ProviderUsage;
}

/**
 * Features: `chat`, `stream`, `embed`, `tools`, `dimensions` (of vectors), `stop`, `seed`, `json_schema`,
 * `deterministic` (equal requests, equal answers). A call of a kind that is not declared is refused with
 * `invalid_request`.
 *
 * @throws AgentOsError rate_limited, timeout, dependency_unavailable, invalid_request, not_found (no such model).
 */
export interface ProviderPort {
  capabilities(): PortCapabilities;
  /** Name as it stands in `route.backend`: `builtin`, `openai`, `vllm`, … */
  readonly backend: string;
  /** Where it runs, as it stands in `route.node`. */
  readonly node: string;
  models(): Promise<readonly ProviderModel[]>;
  chat(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer>;
  /**
   * Nothing is asked of the backend before the first `next()`. Leaving the loop early, or an abort of the signal, ends
   * the call at the backend too. What fails before the first piece is thrown as `chat` throws it; a stream that breaks
   * off throws `dependency_unavailable` with reason `stream_truncated`.
   */
  chatStream(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncIterable<ProviderChunk>;
  embed(auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer>;
  /** Cheap probe for readiness. `cause`, where it is not ok, is what went wrong: for the log, and to tell the kind of failure. */
  health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }>;
}
