/**
 * ProviderPort: one model backend (PRS 6.3). An adapter speaks its vendor's wire format and nothing else: who may
 * call, for how much and under which policy is decided before it is asked.
 */
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
  readonly signal: AbortSignal;
  readonly traceparent: string;
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
}

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

export interface ProviderEmbedAnswer {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[];
  readonly usage: ProviderUsage;
}

/** @throws AgentOsError rate_limited, timeout, dependency_unavailable, invalid_request, not_found (no such model). */
export interface ProviderPort {
  capabilities(): PortCapabilities;
  /** Name as it stands in `route.backend`: `builtin`, `openai`, `vllm`, … */
  readonly backend: string;
  /** Where it runs, as it stands in `route.node`. */
  readonly node: string;
  models(): Promise<readonly ProviderModel[]>;
  chat(auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer>;
  embed(auth: AuthContext, request: { readonly model: string; readonly texts: readonly string[] }, options: ProviderCallOptions): Promise<ProviderEmbedAnswer>;
  /** Cheap probe for readiness. */
  health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly detail?: string }>;
}
