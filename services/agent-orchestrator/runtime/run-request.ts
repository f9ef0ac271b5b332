/**
 * A run as callers ask for it → as it is stored (Appendix D.1; C-02, C-03, C-46, C-47). The wire is lenient, what is
 * stored has one form.
 */
import type { RunCreateRequest } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunInput, RunInputMessage, RunOptions, RunTooling } from '../ports/run-state.ts';
import { canonicalHash } from './canonical.ts';

const MAX_CONVERSATION_CHARACTERS = 200_000;

export interface RunRequest {
  readonly input: RunInput;
  readonly context: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly tooling: RunTooling;
  readonly options: RunOptions;
}

export function normalizeRunRequest(body: RunCreateRequest, agent: Pick<AgentDefinition, 'limits'>): RunRequest {
  const context = (body.context ?? {}) as Record<string, unknown>;
  const labels = body.context?.labels ?? {};
  return {
    input: normalizeInput(body.input),
    context,
    labels,
    tooling: normalizeTooling(body.tooling),
    options: normalizeOptions(body.run_options, agent),
  };
}

/** Of a conversation, the last message also stands as the text (`run-input.schema.json`). */
function normalizeInput(input: RunCreateRequest['input']): RunInput {
  if (typeof input === 'string') return { type: 'text', text: input };
  if (input.type !== 'messages') return { type: 'text', text: input.text };
  return { type: 'messages', text: conversationText(input.messages), messages: input.messages };
}

function conversationText(messages: readonly RunInputMessage[]): string {
  const last = messages.at(-1)!;
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  if (last.role !== 'user') throw misfit('/input/messages', `must end with a message of the user, ends with one of the ${last.role}`);
  if (characters > MAX_CONVERSATION_CHARACTERS) throw misfit('/input/messages', `must have at most ${MAX_CONVERSATION_CHARACTERS} characters together, has ${characters}`);
  return last.content;
}

function misfit(path: string, message: string): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `The request body does not fit the contract: ${path} ${message}.`,
    details: { errors: [{ path, message }] },
  });
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

/** The options of an ended run for another one like it: what is named now replaces what was named then. */
export function mergeOptions(old: RunOptions, options: RunCreateRequest['run_options'], agent: Pick<AgentDefinition, 'limits'>): RunOptions {
  return {
    priority: options?.priority ?? old.priority,
    timeoutMs: Math.min(options?.timeout_ms ?? old.timeoutMs, agent.limits.timeoutMs),
    maxSteps: Math.min(options?.max_steps ?? old.maxSteps, agent.limits.maxSteps),
    streamEvents: options?.stream_events ?? old.streamEvents,
    dryRun: options?.dry_run ?? old.dryRun,
    modelTier: options?.model_tier ?? old.modelTier,
  };
}

/** What makes a request the same request: everything in the body but the key itself (C-23). */
export function requestHashOf(body: RunCreateRequest & { readonly agent_id?: string }): string {
  const { idempotency_key: _key, agent_id: _agent, ...rest } = body;
  return canonicalHash(rest);
}
