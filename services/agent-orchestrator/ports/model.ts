/**
 * ModelPort: Agent Orchestrator → Model Policy, over HTTP and never in-process (PRS 5.2, Appendix E).
 * Requests and answers are the Appendix's own objects: they cross unchanged.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ModelRequest, ModelResponse, ModelCapability, PolicyCheck, PolicyResult } from '../../../generated/types/index.ts';

export interface ModelCallOptions {
  /** Whole call, retries included. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: string;
  readonly correlationId: string;
}

/**
 * Every method throws AgentOsError: policy_blocked, quota_exceeded, rate_limited, not_found (no such model),
 * timeout, dependency_unavailable (Model Policy cannot be reached or answers 5xx, after the adapter's retries),
 * forbidden, unauthorized, invalid_request. `request_id` makes a repeated call the same call.
 */
export interface ModelPort {
  capabilities(): PortCapabilities;
  /** `request.operation` is `chat`. */
  chat(auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse>;
  /** `request.operation` is `embed`; vectors in the order of `input.texts`. */
  embed(auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse>;
  policyCheck(auth: AuthContext, check: PolicyCheck, options: ModelCallOptions): Promise<PolicyResult>;
  listModels(auth: AuthContext, options: ModelCallOptions): Promise<readonly ModelCapability[]>;
}
