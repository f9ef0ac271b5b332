/**
 * The rules of agents as callers see them: create, replace, list versions, roll back, delete (PRS 4.1).
 *
 * A run carries the definition it was created with, so nothing here changes a run under way.
 */
import type { AgentWrite } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { AgentDraft, AgentPage, AgentPermissions, AgentPort, AgentRecord } from '../ports/agents.ts';
import type { RunStatePort } from '../ports/run-state.ts';
import { canonicalHash } from './canonical.ts';
import { DEFAULT_LIMITS, DEFAULT_RETRY } from './implicit-agent.ts';

export interface AgentsDependencies {
  readonly agents: AgentPort;
  readonly runState: Pick<RunStatePort, 'listRuns'>;
}

export interface Agents {
  /**
   * Registers version 1. A request with a key whose very definition stands already is a repetition of the one that
   * made it. @throws AgentOsError conflict, reason `agent_exists`.
   */
  create(auth: AuthContext, body: AgentWrite, idempotencyKey: string | null): Promise<{ readonly agent: AgentRecord; readonly replayed: boolean }>;
  /** @throws AgentOsError not_found, invalid_request (another id in the body than in the path). */
  replace(auth: AuthContext, agentId: string, body: AgentWrite): Promise<AgentRecord>;
  /** @throws AgentOsError not_found. */
  versions(auth: AuthContext, agentId: string, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage>;
  /** @throws AgentOsError not_found. */
  rollBack(auth: AuthContext, agentId: string, version: string): Promise<AgentRecord>;
  /** @throws AgentOsError not_found, conflict (reason `active_runs`). */
  delete(auth: AuthContext, agentId: string): Promise<void>;
}

export function createAgents({ agents, runState }: AgentsDependencies): Agents {
  return {
    async create(auth, body, idempotencyKey) {
      const draft = draftOf(body.agent_id ?? newId('agt'), body);
      try {
        return { agent: await agents.create(auth, draft), replayed: false };
      } catch (error) {
        if (idempotencyKey === null || !(error instanceof AgentOsError) || error.code !== 'conflict') throw error;
        const standing = await agents.get(auth, draft.agentId);
        if (!isWhatWasAsked(standing, draft)) throw error;
        return { agent: standing, replayed: true };
      }
    },
    async replace(auth, agentId, body) {
      if (body.agent_id !== undefined && body.agent_id !== agentId) {
        throw new AgentOsError('invalid_request', {
          message: `The body names agent ${body.agent_id} and the path ${agentId}; leave agent_id out of the body or make them equal.`,
          details: { errors: [{ path: '/agent_id', message: 'must equal the agent of the path' }] },
        });
      }
      return agents.replace(auth, draftOf(agentId, body));
    },
    versions: (auth, agentId, query) => agents.versions(auth, agentId, query),
    rollBack: (auth, agentId, version) => agents.rollBack(auth, agentId, version),
    async delete(auth, agentId) {
      await agents.get(auth, agentId);
      const { runs } = await runState.listRuns(auth, { agentId, status: ['queued', 'running'], limit: 1 });
      if (runs.length > 0) {
        throw new AgentOsError('conflict', {
          message: `Agent ${agentId} has runs under way, ${runs[0]!.runId} among them. Cancel them or wait; to keep new ones from starting, set its status to inactive.`,
          details: { agent_id: agentId, reason: 'active_runs' },
        });
      }
      await agents.delete(auth, agentId);
    },
  };
}

/** A definition of the wire as it is stored: everything that was left out gets its default here and nowhere else. */
export function draftOf(agentId: string, body: AgentWrite): AgentDraft {
  const { requirements, limits, retry, permissions } = body;
  return {
    agentId,
    name: body.name,
    description: body.description ?? '',
    instructions: body.instructions ?? '',
    modelRef: body.model_ref ?? 'tier:balanced',
    requirements: {
      ...(requirements?.max_latency_ms === undefined ? {} : { maxLatencyMs: requirements.max_latency_ms }),
      ...(requirements?.max_cost_usd === undefined ? {} : { maxCostUsd: requirements.max_cost_usd }),
      ...(requirements?.min_context_tokens === undefined ? {} : { minContextTokens: requirements.min_context_tokens }),
    },
    tools: [...new Set(body.tools ?? [])],
    toolChoice: body.tool_choice ?? 'auto',
    limits: {
      maxSteps: limits?.max_steps ?? DEFAULT_LIMITS.maxSteps,
      timeoutMs: limits?.timeout_ms ?? DEFAULT_LIMITS.timeoutMs,
      toolTimeoutMs: limits?.tool_timeout_ms ?? DEFAULT_LIMITS.toolTimeoutMs,
      modelTimeoutMs: limits?.model_timeout_ms ?? DEFAULT_LIMITS.modelTimeoutMs,
    },
    retry: {
      modelAttempts: retry?.model_attempts ?? DEFAULT_RETRY.modelAttempts,
      toolAttempts: retry?.tool_attempts ?? DEFAULT_RETRY.toolAttempts,
      ...(retry?.backoff_ms === undefined ? {} : { backoffMs: retry.backoff_ms }),
      ...(retry?.max_backoff_ms === undefined ? {} : { maxBackoffMs: retry.max_backoff_ms }),
    },
    ...(permissions === undefined ? {} : { permissions: permissionsOf(permissions) }),
    ...(body.on_tool_failure === undefined ? {} : { onToolFailure: body.on_tool_failure }),
    status: body.status ?? 'active',
  };
}

/** Only the members that permissions have, whatever else the object carries. */
function permissionsOf({ agents, memory, hosts, principals }: NonNullable<AgentWrite['permissions']>): AgentPermissions {
  return {
    ...(agents === undefined ? {} : { agents }),
    ...(memory === undefined ? {} : { memory: { ...(memory.read === undefined ? {} : { read: memory.read }), ...(memory.write === undefined ? {} : { write: memory.write }) } }),
    ...(hosts === undefined ? {} : { hosts }),
    ...(principals === undefined ? {} : { principals }),
  };
}

/** Only of a first version: what was changed since is no longer what the first request made. */
function isWhatWasAsked(standing: AgentRecord, draft: AgentDraft): boolean {
  const { tenantId: _tenant, version, createdAt: _created, updatedAt: _updated, ...definition } = standing;
  return version === '1' && canonicalHash(definition) === canonicalHash(draft);
}
