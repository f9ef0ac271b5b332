/** Runs, drafts and transitions as the run-store suites (run-state, queue, events) need them. */
import { expect } from 'vitest';
import { newId, derivedId } from '../../services/platform/ids.ts';
import type { AgentDefinition } from '../../services/agent-orchestrator/ports/agents.ts';
import type { ClaimedRun, ClaimOptions } from '../../services/agent-orchestrator/ports/queue.ts';
import type { EventDraft, NewRun, RunLease, RunRecord, RunTransition } from '../../services/agent-orchestrator/ports/run-state.ts';
import type { RunEvent } from '../../services/agent-orchestrator/ports/events.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { RunStores, RunStoreHarness } from './contract.ts';

export const WORKER = { workerId: 'wrk_suite' } as const;
export const TERMINAL_TYPES = ['agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled'];
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const NOTHING = { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 };

export function agentDefinition(agentId = 'agt_suite'): AgentDefinition {
  return {
    agentId, version: '1', name: 'Suite', description: 'Of the conformance suite', instructions: 'Answer.',
    modelRef: 'tier:balanced', requirements: { maxLatencyMs: 2500 }, tools: ['tool.echo'], toolChoice: 'auto',
    limits: { maxSteps: 10, timeoutMs: 60_000, toolTimeoutMs: 5_000, modelTimeoutMs: 5_000 },
    retry: { modelAttempts: 2, toolAttempts: 1 },
  };
}

export function draft(runId: string, step: number, kind: string, type: string, payload: Record<string, unknown> = {}): EventDraft {
  return { eventId: derivedId('evt', runId, step, kind), type, stepId: null, spanId: '00f067aa0ba902b7', payload };
}

/** Limits that admit everything a suite does. */
export const UNLIMITED = { maxConcurrentRuns: 100_000, createQps: 1_000_000, createBurst: 1_000_000 } as const;

export function newRun(overrides: Partial<NewRun> = {}): NewRun {
  const runId = overrides.runId ?? newId('run');
  return {
    runId,
    agent: agentDefinition(),
    input: { type: 'text', text: 'What is the weather? Ünïcode 🌦 "quoted"' },
    context: { locale: 'en-US', nested: { list: [1, null, 'x'] } },
    labels: { team: 'growth' },
    tooling: { allowlist: ['tool.echo'], denylist: [] },
    options: { priority: 'normal', timeoutMs: 60_000, maxSteps: 10, streamEvents: true, dryRun: false, modelTier: null },
    correlationId: newId('corr'),
    traceparent: TRACEPARENT,
    idempotency: null,
    limits: UNLIMITED,
    created: draft(runId, 0, 'created', 'agentos.run.created', { status: 'queued' }),
    ...overrides,
  };
}

/** Creates a run and insists that it was created. */
export async function create(stores: RunStores, auth: AuthContext, overrides: Partial<NewRun> = {}): Promise<RunRecord> {
  const result = await stores.runState.createRun(auth, newRun(overrides));
  if (result.outcome !== 'created') return expect.fail(`should have been created, but was ${result.outcome}`);
  return result.run;
}

export async function createMany(stores: RunStores, auth: AuthContext, count: number): Promise<RunRecord[]> {
  return Promise.all(Array.from({ length: count }, () => create(stores, auth)));
}

export function claimOptions(overrides: Partial<ClaimOptions> = {}): ClaimOptions {
  return {
    limit: 1,
    leaseMs: 30_000,
    maxAttempts: 5,
    started: ({ runId }) => draft(runId, 0, 'started', 'agentos.run.started', { status: 'running' }),
    poisoned: ({ runId, attempts }) => draft(runId, 0, 'poisoned', 'agentos.run.failed', {
      status: 'failed',
      error: { code: 'internal_error', message: `Given up after ${attempts} attempts.`, retryable: false, details: { reason: 'poisoned' } },
    }),
    ...overrides,
  };
}

/** Claims until `count` runs are held or nothing more comes. A claim may answer fewer runs than there are. */
export async function claimAll(stores: RunStores, count: number, overrides: Partial<ClaimOptions> = {}): Promise<ClaimedRun[]> {
  const claimed: ClaimedRun[] = [];
  for (let idle = 0; claimed.length < count && idle < 3;) {
    const more = await stores.queue.claim(WORKER, claimOptions({ ...overrides, limit: Math.min(50, count - claimed.length) }));
    claimed.push(...more);
    idle = more.length === 0 ? idle + 1 : 0;
  }
  return claimed;
}

/** Creates a run and claims it; the queue must hold nothing else. */
export async function createAndClaim(stores: RunStores, auth: AuthContext, overrides: Partial<ClaimOptions> = {}): Promise<ClaimedRun> {
  const run = await create(stores, auth);
  const [claimed, ...others] = await stores.queue.claim(WORKER, claimOptions({ ...overrides, limit: 5 }));
  expect(others).toEqual([]);
  expect(claimed?.run.runId).toBe(run.runId);
  return claimed!;
}

/** A step that is not the last: two events. */
export function step(runId: string, expectedStep: number): RunTransition {
  return {
    expectedStep,
    events: [
      draft(runId, expectedStep, 'step-started', 'agentos.run.step.started', { name: `step ${expectedStep}`, step_kind: 'model' }),
      draft(runId, expectedStep, 'model-requested', 'agentos.model.requested', { model_ref: 'tier:balanced', operation: 'chat' }),
    ],
    summaryDelta: { stepsTotal: 1, toolCallsTotal: 0, modelCallsTotal: 1 },
    end: null,
  };
}

export function completion(runId: string, expectedStep: number, text = 'done'): RunTransition {
  const output = { type: 'text', text };
  return {
    expectedStep,
    events: [draft(runId, expectedStep, 'completed', 'agentos.run.completed', { status: 'completed', output })],
    summaryDelta: NOTHING,
    end: { status: 'completed', output },
  };
}

export function failure(runId: string, expectedStep: number): RunTransition {
  const error = { code: 'timeout', message: 'Took too long.', retryable: true, details: { after_ms: 5 } };
  return {
    expectedStep,
    events: [draft(runId, expectedStep, 'failed', 'agentos.run.failed', { status: 'failed', error })],
    summaryDelta: NOTHING,
    end: { status: 'failed', error },
  };
}

export function canceled(runId: string): EventDraft {
  return draft(runId, 0, 'canceled', 'agentos.run.canceled', { status: 'canceled' });
}

/** Every event of a run, by pages; asserts order and that there is neither gap nor repeat. */
export async function allEvents(stores: RunStores, auth: AuthContext, runId: string): Promise<readonly RunEvent[]> {
  const events: RunEvent[] = [];
  for (;;) {
    const page = await stores.events.read(auth, runId, { after: events.length, limit: 50 });
    events.push(...page.events);
    if (page.events.length === 0) {
      expect(page.lastSequence).toBe(events.length);
      break;
    }
  }
  expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
  expect(new Set(events.map((event) => event.eventId)).size).toBe(events.length);
  const terminal = events.findIndex((event) => TERMINAL_TYPES.includes(event.type));
  if (terminal !== -1) expect(terminal, 'nothing follows the terminal event').toBe(events.length - 1);
  return events;
}

export function terminalCount(events: readonly RunEvent[]): number {
  return events.filter((event) => TERMINAL_TYPES.includes(event.type)).length;
}

export function asLease(claimed: ClaimedRun): RunLease {
  return claimed.lease;
}

/** A harness that remembers its tenants, so that what a test leaves unfinished is canceled after it. */
export interface RunStoreUnderTest extends RunStoreHarness {
  /** Cancels every unfinished run of every tenant handed out since the last call, and asserts that no counter drifted. */
  settle(): Promise<void>;
}

export function tracked(harness: RunStoreHarness): RunStoreUnderTest {
  let tenants: AuthContext[] = [];
  return {
    runState: harness.runState,
    queue: harness.queue,
    events: harness.events,
    ...(harness.restart === undefined ? {} : { restart: () => harness.restart!() }),
    dispose: () => harness.dispose(),
    async newTenant() {
      const tenant = await harness.newTenant();
      tenants.push(tenant);
      return tenant;
    },
    async settle() {
      for (const tenant of tenants) await cancelUnfinished(harness, tenant);
      tenants = [];
      expect(await harness.queue.depth(WORKER)).toMatchObject({ drift: 0, queued: 0, running: 0 });
    },
  };
}

async function cancelUnfinished(stores: RunStores, auth: AuthContext): Promise<void> {
  for (const status of ['queued', 'running'] as const) {
    for (;;) {
      const { runs, hasMore } = await stores.runState.listRuns(auth, { status, limit: 100 });
      await Promise.all(runs.map((run) => stores.runState.cancelRun(auth, run.runId, canceled(run.runId))));
      if (!hasMore) break;
    }
  }
}
