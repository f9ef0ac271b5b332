/**
 * The rules of runs as callers see them: create, read, list, cancel (PRS 4.2, HLD 4.3, Appendix D). Execution is the
 * worker's; here a run is only ever stored, found or ended.
 */
import type { RunCreateRequest, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { QuotaDefaults } from '../../platform/tenancy/quotas.ts';
import type { AgentDefinition, AgentPort } from '../ports/agents.ts';
import type { EventPort } from '../ports/events.ts';
import type { QueuePort } from '../ports/queue.ts';
import type { CreateRunResult, ListRunsQuery, NewRun, RunRecord, RunStatePort } from '../ports/run-state.ts';
import { runCanceled, runCreated } from '../events/drafts.ts';
import { admissionLimits } from '../tenancy/quotas.ts';
import { implicitAgent } from './implicit-agent.ts';
import { normalizeRunRequest, requestHashOf } from './run-request.ts';

export interface RunsDependencies {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly directory: DirectoryPort;
  readonly quotaDefaults: QuotaDefaults;
  readonly implicitAgents: boolean;
  /** In prod a caller must say which requests are the same (C-80). */
  readonly idempotencyKeyRequired: boolean;
  readonly idempotencyTtlHours: number;
  /** Tells the workers of this process that a run has ended, so that they stop at once. */
  readonly abandon?: (tenantId: string, runId: string) => void;
}

export interface CreateRunCommand {
  readonly agentId: string;
  readonly body: RunCreateRequest;
  /** From the header; the body's own member wins. */
  readonly idempotencyKey: string | null;
  readonly correlationId: string;
  readonly traceparent: string;
}

export interface Runs {
  /** @throws AgentOsError not_found, conflict, rate_limited, quota_exceeded, invalid_request, dependency_unavailable. */
  create(auth: AuthContext, command: CreateRunCommand): Promise<{ readonly run: RunRecord; readonly replayed: boolean }>;
  get(auth: AuthContext, runId: string): Promise<RunRecord>;
  list(auth: AuthContext, query: ListRunsQuery): Promise<{ readonly runs: readonly RunRecord[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError not_found, invalid_state_transition. */
  cancel(auth: AuthContext, runId: string): Promise<RunRecord>;
}

export function createRuns(dependencies: RunsDependencies): Runs {
  const { runState, queue, events } = dependencies;
  return {
    async create(auth, command) {
      const [agent, tenant] = await Promise.all([findAgent(dependencies, auth, command.agentId), findTenant(dependencies, auth)]);
      const result = await runState.createRun(auth, newRun(dependencies, tenant, agent, command));
      if (result.outcome === 'created') queue.enqueue(auth, result.run.runId);
      return { run: admitted(auth, result), replayed: result.outcome === 'replayed' };
    },
    get: (auth, runId) => runState.getRun(auth, runId),
    list: (auth, query) => runState.listRuns(auth, query),
    async cancel(auth, runId) {
      const run = await runState.cancelRun(auth, runId, runCanceled(runId, auth.principal.principal_id));
      dependencies.abandon?.(auth.tenant_id, runId);
      events.announce(auth, runId, run.lastSequence);
      return run;
    },
  };
}

async function findTenant({ directory }: RunsDependencies, auth: AuthContext): Promise<Tenant> {
  const tenant = await directory.getTenant(auth, auth.tenant_id);
  if (tenant === null) throw new AgentOsError('tenant_unknown', { message: `Tenant ${auth.tenant_id} is not registered on this node.`, details: { tenant_id: auth.tenant_id } });
  return tenant;
}

async function findAgent({ agents, implicitAgents }: RunsDependencies, auth: AuthContext, agentId: string): Promise<AgentDefinition> {
  try {
    const { tenantId: _tenant, status, createdAt: _created, updatedAt: _updated, ...definition } = await agents.get(auth, agentId);
    if (status !== 'inactive') return definition;
  } catch (error) {
    if (implicitAgents && error instanceof AgentOsError && error.code === 'not_found') return implicitAgent(agentId);
    throw error;
  }
  throw new AgentOsError('conflict', { message: `Agent ${agentId} is inactive; activate it or run another one.`, details: { agent_id: agentId, reason: 'agent_inactive' } });
}

function newRun(dependencies: RunsDependencies, tenant: Tenant, agent: AgentDefinition, command: CreateRunCommand): NewRun {
  const runId = newId('run');
  return {
    runId,
    agent,
    ...normalizeRunRequest(command.body, agent),
    correlationId: command.correlationId,
    traceparent: command.traceparent,
    idempotency: {
      key: keyOf(dependencies, command),
      requestHash: requestHashOf(command.body),
      ttlHours: dependencies.idempotencyTtlHours,
    },
    limits: admissionLimits(tenant, dependencies.quotaDefaults),
    created: runCreated(runId),
  };
}

function keyOf({ idempotencyKeyRequired }: RunsDependencies, { body, idempotencyKey }: CreateRunCommand): string {
  const key = body.idempotency_key ?? idempotencyKey;
  if (key !== null) return key;
  if (!idempotencyKeyRequired) return newId('idem');
  throw new AgentOsError('invalid_request', {
    message: 'An idempotency key is required: send idempotency_key in the body or the Idempotency-Key header, and keep it over retries of the same request.',
    details: { reason: 'idempotency_key_required' },
  });
}

/** The run, or the error that says why there is none. */
function admitted(auth: AuthContext, result: CreateRunResult): RunRecord {
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
  }
}
