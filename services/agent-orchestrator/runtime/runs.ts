/**
 * The rules of runs as callers see them: create, read, list, retry, cancel, replay (PRS 4.2, HLD 4.3, Appendix D). Execution is the
 * worker's; here a run is only ever stored, found or ended.
 */
import type { RunCreateRequest, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { QuotaDefaults } from '../../platform/tenancy/quotas.ts';
import type { AgentDefinition, AgentPort } from '../ports/agents.ts';
import type { EventPage, EventPort, RunEvent } from '../ports/events.ts';
import type { QueuePort } from '../ports/queue.ts';
import type { ListRunsQuery, NewRun, RunPage, RunRecord, RunStatePort } from '../ports/run-state.ts';
import { runCreated } from '../events/drafts.ts';
import type { EndedRunObserver } from './executor.ts';
import { admissionLimits } from '../tenancy/quotas.ts';
import { canonicalHash } from './canonical.ts';
import { cancelRunAndChildren } from './cancel-runs.ts';
import { createAndStart, type Seats } from './handover.ts';
import { admitted, findAgent, findTenant } from './run-creation.ts';
import { replayRun, type ReplayReport } from './replay.ts';
import { asAgentOsError } from './retry.ts';
import { mergeOptions, normalizeRunRequest, requestHashOf } from './run-request.ts';

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
  /** The free slots of this process' worker; absent: runs are queued. */
  readonly seats?: Seats;
  /** Tells the workers of this process that a run has ended, so that they stop at once. */
  readonly abandon?: (tenantId: string, runId: string) => void;
  /** Told of runs that were canceled; the executor tells of the others. */
  readonly onEnded?: EndedRunObserver;
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
  create(auth: AuthContext, command: CreateRunCommand): Promise<CreatedRun>;
  get(auth: AuthContext, runId: string): Promise<RunRecord>;
  list(auth: AuthContext, query: ListRunsQuery): Promise<RunPage>;
  /** Each by itself, all together: what is admitted shares commits, what is refused refuses nothing else. In the order of the commands. */
  createBatch(auth: AuthContext, commands: readonly CreateRunCommand[]): Promise<readonly BatchOutcome[]>;
  /** Makes a new run of the agent's newest version from what an ended run was made of. @throws as `create`, and invalid_state_transition. */
  retry(auth: AuthContext, runId: string, command: RetryRunCommand): Promise<CreatedRun>;
  /** With its children. @throws AgentOsError not_found, invalid_state_transition. */
  cancel(auth: AuthContext, runId: string): Promise<RunRecord>;
  /** @throws AgentOsError not_found. */
  history(auth: AuthContext, runId: string, query: { readonly after: number; readonly limit: number }): Promise<EventPage>;
  /** Takes the decisions of the run again, from its log. @throws AgentOsError not_found. */
  replay(auth: AuthContext, runId: string): Promise<ReplayReport>;
}

export interface CreatedRun {
  readonly run: RunRecord;
  readonly replayed: boolean;
}

export type BatchOutcome = CreatedRun | { readonly error: AgentOsError };

export interface RetryRunCommand {
  readonly body: { readonly idempotency_key?: string; readonly run_options?: RunCreateRequest['run_options'] };
  readonly idempotencyKey: string | null;
  readonly correlationId: string;
  readonly traceparent: string;
}

export function createRuns(dependencies: RunsDependencies): Runs {
  const { runState, events } = dependencies;
  const create: Runs['create'] = async (auth, command) => {
    const [agent, tenant] = await Promise.all([findAgent(dependencies, auth, command.agentId), findTenant(dependencies, auth)]);
    const mayReplay = dependencies.idempotencyKeyRequired || (command.body.idempotency_key ?? command.idempotencyKey) !== null;
    const refused = mayReplay ? null : (runState.refusal?.(auth, admissionLimits(tenant, dependencies.quotaDefaults)) ?? null);
    const result = refused ?? (await createAndStart(dependencies, auth, newRun(dependencies, tenant, agent, command)));
    return { run: admitted(auth, result), replayed: result.outcome === 'replayed' };
  };
  return {
    create,
    createBatch: (auth, commands) => Promise.all(commands.map((command) => create(auth, command).catch((error: unknown) => ({ error: asAgentOsError(error) })))),
    retry: (auth, runId, command) => retryRun(dependencies, auth, runId, command),
    get: (auth, runId) => runState.getRun(auth, runId),
    list: (auth, query) => runState.listRuns(auth, query),
    cancel: (auth, runId) => cancelRunAndChildren(dependencies, auth, runId),
    history: (auth, runId, query) => events.read(auth, runId, query),
    async replay(auth, runId) {
      const work = await runState.getWork(auth, runId);
      return replayRun(work, await wholeLog(events, auth, runId, work.lastSequence));
    },
  };
}

const LOG_PAGE = 500;

/** Events up to `lastSequence`: what is written meanwhile belongs to a later look at the run. */
async function wholeLog(events: EventPort, auth: AuthContext, runId: string, lastSequence: number): Promise<readonly RunEvent[]> {
  const log: RunEvent[] = [];
  for (let after = 0; after < lastSequence; ) {
    const page = await events.read(auth, runId, { after, limit: LOG_PAGE });
    log.push(...page.events.filter((event) => event.sequence <= lastSequence));
    const last = page.events.at(-1);
    if (last === undefined) break;
    after = last.sequence;
  }
  return log;
}

async function retryRun(dependencies: RunsDependencies, auth: AuthContext, runId: string, command: RetryRunCommand): Promise<CreatedRun> {
  const old = await dependencies.runState.getWork(auth, runId);
  if (old.completedAt === null) {
    throw new AgentOsError('invalid_state_transition', {
      message: `Run ${runId} is ${old.status}; only a run that has ended can be retried. Cancel it first, or create another run.`,
      details: { run_id: runId, status: old.status },
    });
  }
  const [agent, tenant] = await Promise.all([findAgent(dependencies, auth, old.agentId), findTenant(dependencies, auth)]);
  const { body, idempotencyKey, correlationId, traceparent } = command;
  const newRunId = newId('run');
  const run: NewRun = {
    runId: newRunId,
    agent,
    input: old.input,
    context: old.context,
    labels: old.labels,
    tooling: old.tooling,
    options: mergeOptions(old.options, body.run_options, agent),
    correlationId,
    traceparent,
    idempotency: {
      ...keyOf(dependencies, body.idempotency_key ?? idempotencyKey),
      requestHash: canonicalHash({ retry_of: runId, run_options: body.run_options ?? {} }),
      ttlHours: dependencies.idempotencyTtlHours,
    },
    limits: admissionLimits(tenant, dependencies.quotaDefaults),
    created: runCreated(newRunId),
    lineage: { retryOf: runId },
  };
  const result = await createAndStart(dependencies, auth, run);
  return { run: admitted(auth, result), replayed: result.outcome === 'replayed' };
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
      ...keyOf(dependencies, command.body.idempotency_key ?? command.idempotencyKey),
      requestHash: requestHashOf(command.body),
      ttlHours: dependencies.idempotencyTtlHours,
    },
    limits: admissionLimits(tenant, dependencies.quotaDefaults),
    created: runCreated(runId),
  };
}

function keyOf({ idempotencyKeyRequired }: RunsDependencies, key: string | null): { readonly key: string; readonly madeUp?: boolean } {
  if (key !== null) return { key };
  if (!idempotencyKeyRequired) return { key: newId('idem'), madeUp: true };
  throw new AgentOsError('invalid_request', {
    message: 'An idempotency key is required: send idempotency_key in the body or the Idempotency-Key header, and keep it over retries of the same request.',
    details: { reason: 'idempotency_key_required' },
  });
}
