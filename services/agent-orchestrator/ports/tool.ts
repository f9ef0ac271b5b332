/** ToolPort: the tools an agent may call (PRS 5.2). Permission is decided by the executor, before this port is asked. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export interface ToolDescriptor {
  /** e.g. `tool.kv.put`. */
  readonly toolId: string;
  /** As models see it: letters, digits and underscores, e.g. `kv_put`. */
  readonly name: string;
  readonly description: string;
  /** JSON Schema 2020-12 of the input, an object. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
}

export interface ToolInvocation {
  readonly toolId: string;
  readonly input: unknown;
  /** Stable over retries; a tool with effects uses it as its idempotency key. */
  readonly toolCallId: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: string;
}

export interface ToolPort {
  capabilities(): PortCapabilities;
  /** The tools this tenant has. */
  list(auth: AuthContext): Promise<readonly ToolDescriptor[]>;
  /**
   * Runs the tool and answers its output (any JSON value).
   * @throws AgentOsError not_found (no such tool), invalid_request (input against its schema, with the pointer),
   * timeout, dependency_unavailable, quota_exceeded.
   */
  invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown>;
}
