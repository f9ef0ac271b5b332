/** ToolPort: the tools an agent may call (PRS 5.2). Permission is decided by the executor, before this port is asked. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AgentPermissions } from './agents.ts';
import type { RunPriority } from './run-state.ts';

export interface ToolDescriptor {
  /** e.g. `tool.kv.put`. */
  readonly toolId: string;
  /** As models see it: letters, digits and underscores, e.g. `kv_put`. */
  readonly name: string;
  readonly description: string;
  /** JSON Schema 2020-12 of the input, an object. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
  /** `builtin` when absent. */
  readonly kind?: 'builtin' | 'webhook' | 'mcp' | 'agent';
  /** Name for people; the id when absent. */
  readonly title?: string;
  /** JSON Schema of the output; absent or null where it may be anything. */
  readonly outputSchema?: Readonly<Record<string, unknown>> | null;
  /** Whether a call changes something outside; true when absent. */
  readonly sideEffects?: boolean;
  /** Of one attempt. */
  readonly timeoutMs?: number;
  /** Over all runs of the tenant; absent or null: not limited by the tool itself. */
  readonly rateLimitPerMinute?: number | null;
  /**
   * What a call with this input would reach; the executor holds it against the agent's permissions before the call.
   * Absent: nothing that permissions speak of. Input that does not fit the schema answers an empty list.
   */
  readonly reach?: (input: unknown) => readonly ToolReach[];
}

/** One thing outside the run that a call touches. */
export interface ToolReach {
  readonly kind: 'agent' | 'host' | 'memory_read' | 'memory_write';
  /** An agent id, a host name in lower case, or a namespace. */
  readonly name: string;
}

/** The run that makes a call, for tools that need to know. */
export interface CallingRun {
  readonly runId: string;
  readonly rootRunId: string;
  /** 0 for a run that no agent called. */
  readonly depth: number;
  readonly agentId: string;
  /** Held already for what `reach` told; a tool that finds more to reach (a redirect) holds it again. */
  readonly permissions: AgentPermissions;
  /** Tools that the request forbids; it holds for whatever the run sets going. */
  readonly denylist: readonly string[];
  readonly priority: RunPriority;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly step: number;
  readonly correlationId: string;
}

/**
 * Thrown by a tool whose answer is another run's: the calling run waits without a worker and the call is made again,
 * under the same `toolCallId`, when that run has ended.
 */
export class ToolAwaitsRun extends Error {
  readonly runId: string;

  constructor(runId: string) {
    super(`The call waits for run ${runId}.`);
    this.name = 'ToolAwaitsRun';
    this.runId = runId;
  }
}

export interface ToolInvocation {
  readonly toolId: string;
  readonly input: unknown;
  /** Stable over retries; a tool with effects uses it as its idempotency key. */
  readonly toolCallId: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: string;
  /** Absent only where no run is behind the call (tests of a tool). */
  readonly run?: CallingRun;
}

export interface ToolPort {
  capabilities(): PortCapabilities;
  /**
   * The tools this tenant has. With `wanted`, at least those of them that exist: who names what it needs is spared the
   * reading of what it does not need.
   */
  list(auth: AuthContext, wanted?: readonly string[]): Promise<readonly ToolDescriptor[]>;
  /**
   * Runs the tool and answers its output (any JSON value).
   * @throws AgentOsError not_found (no such tool), invalid_request (input against its schema, with the pointer),
   * forbidden (outside the egress rules), rate_limited (`details.retry_after_ms`), tool_failed (the tool says so, or
   * its output does not fit its schema), timeout, dependency_unavailable, quota_exceeded; and ToolAwaitsRun.
   */
  invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown>;
}
