/** A worker that holds runs and writes one event of each a second, with the store of the services and its hints. */
import pino from 'pino';
import { PostgresRunState } from '../../services/agent-orchestrator/adapters/run-state-postgres.ts';
import { PostgresWake } from '../../services/agent-orchestrator/adapters/postgres-wake.ts';
import { runCreated, runStarted, stepStarted } from '../../services/agent-orchestrator/events/drafts.ts';
import type { NewRun, RunLease } from '../../services/agent-orchestrator/ports/run-state.ts';
import { implicitAgent } from '../../services/agent-orchestrator/runtime/implicit-agent.ts';
import { createDatabase, type Database } from '../../services/platform/db/pool.ts';
import { newId } from '../../services/platform/ids.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';

const PERIOD_MS = 1_000;
/** No heartbeats: the leases outlast the benchmark. */
const LEASE_MS = 3_600_000;
const NOTHING = { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 };

interface HeldRun {
  readonly tenantId: string;
  readonly runId: string;
  readonly auth: AuthContext;
  readonly lease: RunLease;
  step: number;
}

export class EventWriter {
  readonly runs: HeldRun[] = [];
  readonly #database: Database;
  readonly #wake: PostgresWake;
  readonly #runState: PostgresRunState;
  /** When each commit was acknowledged, by run index and sequence. */
  readonly #committed = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #turn = 0;

  private constructor(database: Database, url: string) {
    this.#database = database;
    this.#wake = new PostgresWake({ pool: database.pool, url });
    this.#runState = new PostgresRunState(database.pool, { tail: this.#wake.tail });
  }

  static async start(url: string, tenantIds: readonly string[], runs: number): Promise<EventWriter> {
    const database = await createDatabase({ url, applicationName: 'bench-writer', keyedStatements: true, log: pino({ level: 'silent' }) });
    const writer = new EventWriter(database, url);
    const directory = new PostgresDirectory(database.pool);
    for (const tenantId of tenantIds) await directory.createTenant(authOf(tenantId), { tenant_id: tenantId });
    for (let run = 0; run < runs; run += 1) await writer.#hold(tenantIds[run % tenantIds.length]!);
    return writer;
  }

  /** Milliseconds since the epoch, finer than Date.now. */
  now(): number {
    return performance.timeOrigin + performance.now();
  }

  /** Writes from now on, one run after the other, each once a period. */
  begin(): void {
    const startedMs = performance.now();
    let written = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - startedMs) / PERIOD_MS) * this.runs.length);
      for (; written < due; written += 1) void this.#write((this.#turn += 1) % this.runs.length);
    }, 2);
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  committedAt(run: number, sequence: number): number | undefined {
    return this.#committed.get(`${run} ${sequence}`);
  }

  committedBetween(startedMs: number, endedMs: number): number {
    let count = 0;
    for (const atMs of this.#committed.values()) if (atMs >= startedMs && atMs < endedMs) count += 1;
    return count;
  }

  async close(): Promise<void> {
    this.end();
    await this.#runState.close();
    await this.#wake.close();
    await this.#database.close();
  }

  async #hold(tenantId: string): Promise<void> {
    const auth = authOf(tenantId);
    const run = heldRun();
    const handover = { workerId: 'wrk_bench', leaseMs: LEASE_MS, started: runStarted(run.runId), opening: [] };
    const result = await this.#runState.createRun(auth, { ...run, handover });
    if (result.outcome !== 'created' || (result.handedOver ?? null) === null) throw new Error(`A run for the streams could not be held: ${result.outcome}.`);
    this.runs.push({ tenantId, runId: run.runId, auth, lease: result.handedOver!.lease, step: 0 });
  }

  async #write(index: number): Promise<void> {
    const run = this.runs[index]!;
    const expectedStep = run.step;
    run.step += 1;
    const event = stepStarted(run.runId, run.step, { step_kind: 'plan', name: 'tick', message: 'One of many' });
    const result = await this.#runState.advance(run.auth, run.lease, { expectedStep, events: [event], summaryDelta: NOTHING, end: null });
    if (result.outcome === 'fenced') throw new Error(`Run ${run.runId} was taken away.`);
    this.#committed.set(`${index} ${result.lastSequence}`, this.now());
    this.#wake.announceRun(run.tenantId, run.runId, result.lastSequence);
  }
}

function authOf(tenantId: string): AuthContext {
  return { tenant_id: tenantId, principal: { principal_id: 'usr_bench', principal_type: 'user' }, scopes: ['tenants:admin', 'runs:read', 'runs:write'] };
}

function heldRun(): NewRun {
  const runId = newId('run');
  return {
    runId,
    agent: implicitAgent('agt_bench'),
    input: { type: 'text', text: 'hello' },
    context: {},
    labels: {},
    tooling: { allowlist: null, denylist: [] },
    options: { priority: 'normal', timeoutMs: LEASE_MS, maxSteps: 100_000, streamEvents: true, dryRun: false, modelTier: null },
    correlationId: newId('corr'),
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    idempotency: null,
    limits: { maxConcurrentRuns: 1_000_000, createQps: 1_000_000, createBurst: 1_000_000 },
    created: runCreated(runId),
  };
}
