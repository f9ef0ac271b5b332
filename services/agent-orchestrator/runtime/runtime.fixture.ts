/** Runs, agents and a scripted model for the tests of the runtime; stores are the memory family. */
import { pino } from 'pino';
import type { ModelRequest, ModelResponse, PolicyCheck, PolicyResult } from '../../../generated/types/index.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryEvents } from '../adapters/events-memory.ts';
import { MemoryMemory } from '../adapters/memory-memory.ts';
import { MemoryQueue } from '../adapters/queue-memory.ts';
import { MemoryRunState } from '../adapters/run-state-memory.ts';
import { MemoryRunStore } from '../adapters/run-store-memory.ts';
import { BuiltinTools } from '../adapters/tool-builtin.ts';
import { runCreated, runFailed, runStarted } from '../events/drafts.ts';
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunEvent } from '../ports/events.ts';
import type { ModelCallOptions, ModelPort } from '../ports/model.ts';
import type { ClaimOptions, ClaimedRun, QueuePort } from '../ports/queue.ts';
import type { NewRun, RunOptions, RunStatePort, RunWork } from '../ports/run-state.ts';
import type { ExecutorDependencies } from './executor.ts';

export const AUTH: AuthContext = {
  tenant_id: 'tnt_test',
  principal: { principal_id: 'usr_test', principal_type: 'user' },
  scopes: ['runs:create', 'runs:read', 'runs:cancel'],
};

export const UNLIMITED = { maxConcurrentRuns: 100_000, createQps: 1_000_000, createBurst: 1_000_000 };

export function agent(overrides: Partial<AgentDefinition> = {}): AgentDefinition {
  return {
    agentId: 'agt_test', version: '1', name: 'Test', description: '', instructions: 'Be brief.', modelRef: 'tier:balanced', requirements: {},
    tools: ['tool.echo', 'tool.kv.put', 'tool.kv.get'], toolChoice: 'auto',
    limits: { maxSteps: 10, timeoutMs: 60_000, toolTimeoutMs: 2_000, modelTimeoutMs: 5_000 },
    retry: { modelAttempts: 3, toolAttempts: 2 },
    ...overrides,
  };
}

const OPTIONS: RunOptions = { priority: 'normal', timeoutMs: 60_000, maxSteps: 10, streamEvents: true, dryRun: false, modelTier: null };

export function newRun(overrides: Partial<Omit<NewRun, 'options'>> & { options?: Partial<RunOptions> } = {}): NewRun {
  const runId = overrides.runId ?? newId('run');
  return {
    runId, agent: agent(), input: { type: 'text', text: 'Hello.' }, context: {}, labels: {},
    tooling: { allowlist: null, denylist: [] }, correlationId: newId('corr'),
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    idempotency: null, limits: UNLIMITED, created: runCreated(runId),
    ...overrides,
    options: { ...OPTIONS, ...overrides.options },
  };
}

/** A run as a worker sees it, without any store. */
export function work(overrides: Partial<Omit<RunWork, 'options'>> & { options?: Partial<RunOptions> } = {}): RunWork {
  return {
    tenantId: AUTH.tenant_id, runId: 'run_1', agentId: 'agt_test', agentVersion: '1', status: 'running',
    createdAt: '2026-01-01T00:00:00.000Z', startedAt: '2026-01-01T00:00:01.000Z', completedAt: null,
    tooling: { allowlist: null, denylist: [] }, labels: {}, summary: { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 },
    output: null, error: null, correlationId: 'corr_1', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    idempotencyKey: null, principalId: 'usr_test', lastSequence: 2, step: 0, attempts: 1,
    auth: AUTH, input: { type: 'text', text: 'Hello.' }, context: {}, agent: agent(),
    ...overrides,
    options: { ...OPTIONS, ...overrides.options },
  };
}

export function toolCalls(...calls: { tool: string; input: unknown }[]): Partial<ModelResponse> {
  return {
    output: {
      type: 'chat', message: { role: 'assistant', content: '' },
      tool_calls: calls.map((call, index) => ({ tool_call_id: `call_${index}`, tool_id: call.tool, name: call.tool, input: call.input })),
    } as ModelResponse['output'],
  };
}

export const says = (content: string): Partial<ModelResponse> => ({ output: { type: 'chat', message: { role: 'assistant', content }, tool_calls: [] } as ModelResponse['output'] });

type Scripted = Partial<ModelResponse> | Error | ((request: ModelRequest, options: ModelCallOptions) => Promise<Partial<ModelResponse>>);

/** Answers in order and repeats its last answer; remembers what it was asked. */
export class ScriptedModel implements ModelPort {
  readonly requests: ModelRequest[] = [];
  readonly checks: PolicyCheck[] = [];
  readonly #script: readonly Scripted[];

  constructor(...script: readonly Scripted[]) {
    this.#script = script;
  }

  capabilities() {
    return { adapter: 'scripted', contractVersion: '1.0', durable: false, features: [] };
  }

  async chat(_auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    this.requests.push(request);
    const next = this.#script[Math.min(this.requests.length, this.#script.length) - 1]!;
    if (next instanceof Error) throw next;
    const answer = typeof next === 'function' ? await next(request, options) : next;
    return {
      request_id: request.request_id, status: 'ok', usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 }, latency_ms: 1,
      policy_outcome: { decision: 'allowed', reasons: [], redactions: [] }, route: { backend: 'scripted', model: 'm', node: 'n', fallback_used: false },
      ...answer,
    } as ModelResponse;
  }

  embed(): Promise<ModelResponse> {
    return Promise.reject(new Error('The script has no embeddings.'));
  }

  async policyCheck(_auth: AuthContext, check: PolicyCheck): Promise<PolicyResult> {
    this.checks.push(check);
    return { request_id: check.request_id ?? 'req_1', decision: 'allowed', reasons: [], redactions: [] };
  }

  async listModels() {
    return [];
  }
}

export const LOG = pino({ level: 'silent' });

export interface RuntimeHarness {
  readonly store: MemoryRunStore;
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly dependencies: ExecutorDependencies;
  create(overrides?: Parameters<typeof newRun>[0]): Promise<string>;
  claim(overrides?: Partial<ClaimOptions>): Promise<ClaimedRun>;
  events(runId: string): Promise<readonly RunEvent[]>;
  types(runId: string): Promise<readonly string[]>;
}

export const CLAIM: ClaimOptions = {
  limit: 1, leaseMs: 10_000, maxAttempts: 5,
  started: ({ runId }) => runStarted(runId),
  poisoned: ({ runId, attempts }) => runFailed(runId, { code: 'internal_error', message: 'Given up.', retryable: false, details: { reason: 'poisoned', attempts } }),
};

export function runtime(model: ModelPort, overrides: Partial<ExecutorDependencies> = {}, now: () => number = Date.now): RuntimeHarness {
  const store = new MemoryRunStore(now);
  const runState = overrides.runState ?? new MemoryRunState(store);
  const queue = new MemoryQueue(store);
  const events = new MemoryEvents(store);
  const dependencies: ExecutorDependencies = {
    runState, events, model, queue,
    tools: new BuiltinTools(new MemoryMemory()),
    entitlement: async () => null,
    clock: { now, random: () => 0.5, sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, Math.min(delayMs, 5))) },
    log: LOG,
    ...overrides,
  };
  const read = async (runId: string) => (await events.read(AUTH, runId, { after: 0, limit: 1_000 })).events;
  return {
    store, runState, queue, dependencies,
    async create(run = {}) {
      const result = await runState.createRun(AUTH, newRun(run));
      if (result.outcome !== 'created') throw new Error(`The run was not created: ${result.outcome}`);
      queue.enqueue(AUTH, result.run.runId);
      return result.run.runId;
    },
    async claim(options = {}) {
      const [claimed] = await queue.claim({ workerId: 'wrk_test' }, { ...CLAIM, ...options });
      if (claimed === undefined) throw new Error('Nothing could be claimed.');
      return claimed;
    },
    events: read,
    types: async (runId) => (await read(runId)).map((event) => event.type.replace('agentos.', '')),
  };
}
