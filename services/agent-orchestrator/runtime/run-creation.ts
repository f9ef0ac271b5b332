/** What every creation of a run goes through, whoever asks for it: the tenant, the agent, and the store's verdict. */
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { AgentDefinition, AgentPort } from '../ports/agents.ts';
import type { CreateRunResult, RunRecord } from '../ports/run-state.ts';
import { implicitAgent } from './implicit-agent.ts';

export interface CreationDependencies {
  readonly agents: AgentPort;
  readonly directory: DirectoryPort;
  readonly implicitAgents: boolean;
}

/** @throws AgentOsError tenant_unknown. */
export async function findTenant({ directory }: CreationDependencies, auth: AuthContext): Promise<Tenant> {
  const tenant = await directory.getTenant(auth, auth.tenant_id);
  if (tenant === null) throw new AgentOsError('tenant_unknown', { message: `Tenant ${auth.tenant_id} is not registered on this node.`, details: { tenant_id: auth.tenant_id } });
  return tenant;
}

/** The agent as this principal may run it now. @throws AgentOsError not_found, conflict (inactive), forbidden. */
export async function findAgent({ agents, implicitAgents }: CreationDependencies, auth: AuthContext, agentId: string): Promise<AgentDefinition> {
  let found: Awaited<ReturnType<AgentPort['get']>>;
  try {
    found = await agents.get(auth, agentId);
  } catch (error) {
    if (implicitAgents && error instanceof AgentOsError && error.code === 'not_found') return implicitAgent(agentId);
    throw error;
  }
  const { tenantId: _tenant, status, createdAt: _created, updatedAt: _updated, ...definition } = found;
  if (status === 'inactive') {
    throw new AgentOsError('conflict', { message: `Agent ${agentId} is inactive; activate it or run another one.`, details: { agent_id: agentId, reason: 'agent_inactive' } });
  }
  const principals = definition.permissions?.principals;
  if (principals !== undefined && !principals.includes(auth.principal.principal_id)) {
    throw new AgentOsError('forbidden', { message: `Agent ${agentId} may not be run by ${auth.principal.principal_id}: its permissions name others.`, details: { agent_id: agentId, reason: 'agent_not_permitted' } });
  }
  return definition;
}

/** The run, or the error that says why there is none. */
export function admitted(auth: AuthContext, result: CreateRunResult): RunRecord {
  switch (result.outcome) {
    case 'created':
    case 'replayed':
      return result.run;
    case 'key_reused':
      throw new AgentOsError('conflict', {
        message: 'This idempotency key was used before with another body. Use a new key for a new request.',
        details: { reason: 'idempotency_key_reused', run_id: result.runId },
      });
    case 'rate_limited':
      throw new AgentOsError('rate_limited', {
        message: `The tenant may create ${result.limit} runs a second; ask again in ${result.retryAfterSeconds} s.`,
        details: { tenant_id: auth.tenant_id, limit: result.limit, window: 'second' },
        retryAfterSeconds: result.retryAfterSeconds,
      });
    case 'concurrency_exceeded':
      throw new AgentOsError('quota_exceeded', {
        message: `The tenant has ${result.used} runs queued or running; ${result.limit} are allowed at once. Wait for one to end or cancel one.`,
        retryable: true,
        details: { tenant_id: auth.tenant_id, limit: result.limit, used: result.used, reason: 'concurrent_runs' },
        retryAfterSeconds: 1,
      });
    case 'queue_full':
      throw new AgentOsError('dependency_unavailable', {
        message: `${result.limit} runs wait on this node, which is as many as it takes. Ask again later; runs that were accepted are worked off.`,
        details: { service: 'agent-orchestrator', reason: 'queue_full', limit: result.limit },
        // Not all at once.
        retryAfterSeconds: 1 + Math.floor(Math.random() * 4),
      });
  }
}
