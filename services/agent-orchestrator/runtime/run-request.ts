/**
 * A run as callers ask for it → as it is stored (Appendix D.1; C-02, C-03, C-46, C-47). The wire is lenient, what is
 * stored has one form.
 */
import type { RunCreateRequest } from '../../../generated/types/index.ts';
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunOptions, RunTooling } from '../ports/run-state.ts';
import { canonicalHash } from './canonical.ts';

export interface RunRequest {
  readonly input: { readonly type: string; readonly text: string };
  readonly context: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly tooling: RunTooling;
  readonly options: RunOptions;
}

export function normalizeRunRequest(body: RunCreateRequest, agent: Pick<AgentDefinition, 'limits'>): RunRequest {
  const context = (body.context ?? {}) as Record<string, unknown>;
  const labels = body.context?.labels ?? {};
  return {
    input: typeof body.input === 'string' ? { type: 'text', text: body.input } : { type: body.input.type ?? 'text', text: body.input.text },
    context,
    labels,
    tooling: normalizeTooling(body.tooling),
    options: normalizeOptions(body.run_options, agent),
  };
}

function normalizeTooling(tooling: RunCreateRequest['tooling']): RunTooling {
  const denied = tooling?.tool_denymap ?? [];
  return {
    allowlist: tooling?.tool_allowlist ?? null,
    denylist: [...new Set(Array.isArray(denied) ? denied : Object.keys(denied))],
  };
}

/** The agent's limits are both the defaults and the bounds: the stricter one is stored, and so is what a caller reads back. */
function normalizeOptions(options: RunCreateRequest['run_options'], agent: Pick<AgentDefinition, 'limits'>): RunOptions {
  return {
    priority: options?.priority ?? 'normal',
    timeoutMs: Math.min(options?.timeout_ms ?? agent.limits.timeoutMs, agent.limits.timeoutMs),
    maxSteps: Math.min(options?.max_steps ?? agent.limits.maxSteps, agent.limits.maxSteps),
    streamEvents: options?.stream_events ?? true,
    dryRun: options?.dry_run ?? false,
    modelTier: options?.model_tier ?? null,
  };
}

/** What makes a request the same request: everything in the body but the key itself (C-23). */
export function requestHashOf(body: RunCreateRequest & { readonly agent_id?: string }): string {
  const { idempotency_key: _key, agent_id: _agent, ...rest } = body;
  return canonicalHash(rest);
}
