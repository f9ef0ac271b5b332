/**
 * An agent that calls an agent: the call is a run of its own, admitted, queued, limited and recorded like any other.
 *
 * The child's id derives from the calling run and step, so a call that is made again finds the child of the first time.
 * While the child runs, the caller holds no worker: the call throws ToolAwaitsRun, the caller is parked, and when the
 * child has ended the same call is made again and answered from the child's record. Any number of callers may wait at
 * once without keeping a slot from what they wait for.
 *
 * The caller goes on counting as a run under way in the tenant's quota, so a tenant's tree of runs is as bounded as any
 * other set of its runs: a child that the quota has no room for is refused, and the caller is told.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { QuotaDefaults } from '../../platform/tenancy/quotas.ts';
import type { QueuePort } from '../ports/queue.ts';
import type { NewRun, RunRecord, RunStatePort } from '../ports/run-state.ts';
import { ToolAwaitsRun, type CallingRun } from '../ports/tool.ts';
import { runCreated } from '../events/drafts.ts';
import { admissionLimits } from '../tenancy/quotas.ts';
import { canonicalHash } from './canonical.ts';
import { childRunIdOf } from './child-id.ts';
import { admitted, findAgent, findTenant, type CreationDependencies } from './run-creation.ts';

/** Calls below each other; a root run is at depth 0. */
export const MAX_DEPTH = 5;

export interface ChildRunsDependencies extends CreationDependencies {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly quotaDefaults: QuotaDefaults;
  readonly idempotencyTtlHours: number;
}

export interface AgentCall {
  readonly agentId: string;
  readonly text: string;
  readonly toolCallId: string;
  readonly traceparent: string;
}

export interface AgentCallAnswer {
  readonly run_id: string;
  readonly agent_id: string;
  readonly output: RunRecord['output'];
}

export interface ChildRuns {
  /**
   * Starts the child, or finds it. @throws ToolAwaitsRun while it has not ended; AgentOsError not_found, conflict,
   * forbidden (depth, principal), rate_limited, quota_exceeded, tool_failed (the child failed or was canceled).
   */
  call(auth: AuthContext, caller: CallingRun, call: AgentCall): Promise<AgentCallAnswer>;
}

export function createChildRuns(dependencies: ChildRunsDependencies): ChildRuns {
  return {
    async call(auth, caller, call) {
      const runId = childRunIdOf(caller, caller.step);
      const child = (await find(dependencies, auth, runId)) ?? (await start(dependencies, auth, caller, call, runId));
      return answerOf(child);
    },
  };
}

async function find({ runState }: ChildRunsDependencies, auth: AuthContext, runId: string): Promise<RunRecord | null> {
  try {
    return await runState.getRun(auth, runId);
  } catch (error) {
    if (error instanceof AgentOsError && error.code === 'not_found') return null;
    throw error;
  }
}

async function start(dependencies: ChildRunsDependencies, auth: AuthContext, caller: CallingRun, call: AgentCall, runId: string): Promise<RunRecord> {
  if (caller.depth >= MAX_DEPTH) {
    throw new AgentOsError('forbidden', {
      message: `Agents may call each other ${MAX_DEPTH} deep; this run stands at ${caller.depth} already.`,
      details: { reason: 'depth_exceeded', depth: caller.depth, limit: MAX_DEPTH },
    });
  }
  const [agent, tenant] = await Promise.all([findAgent(dependencies, auth, call.agentId), findTenant(dependencies, auth)]);
  const remainingMs = Math.max(1, Math.floor(caller.deadlineMs - Date.now()));
  const run: NewRun = {
    runId,
    agent,
    input: { type: 'text', text: call.text },
    context: {},
    labels: {},
    tooling: { allowlist: null, denylist: caller.denylist },
    options: { priority: caller.priority, timeoutMs: Math.min(agent.limits.timeoutMs, remainingMs), maxSteps: agent.limits.maxSteps, streamEvents: true, dryRun: false, modelTier: null },
    correlationId: caller.correlationId,
    traceparent: call.traceparent,
    // Two workers that believe to hold the caller may both be here; the store then answers one run to both.
    idempotency: { key: call.toolCallId, requestHash: canonicalHash({ agent_id: call.agentId, text: call.text }), ttlHours: dependencies.idempotencyTtlHours },
    limits: admissionLimits(tenant, dependencies.quotaDefaults),
    created: runCreated(runId),
    lineage: { parentRunId: caller.runId, rootRunId: caller.rootRunId, depth: caller.depth + 1 },
  };
  const result = await dependencies.runState.createRun(auth, run);
  if (result.outcome === 'created') dependencies.queue.enqueue(auth, runId);
  return admitted(auth, result);
}

function answerOf(child: RunRecord): AgentCallAnswer {
  const { runId, agentId, status, output, error } = child;
  if (status === 'completed') return { run_id: runId, agent_id: agentId, output };
  if (status === 'queued' || status === 'running') throw new ToolAwaitsRun(runId);
  throw new AgentOsError('tool_failed', {
    message: status === 'canceled' ? `The run ${runId} of agent ${agentId} was canceled.` : `The run ${runId} of agent ${agentId} failed: ${error?.message ?? 'it does not say why'}`,
    details: { run_id: runId, agent_id: agentId, status, ...(error === null ? {} : { code: error.code }) },
  });
}
