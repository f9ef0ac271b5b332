/** Events in Postgres: status and events of one snapshot in one statement; waiting by hints and polls. */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { EventPage, EventPort, RunEvent } from '../ports/events.ts';
import type { RunStatus } from '../ports/run-state.ts';
import { traceparentAt } from '../runtime/ids.ts';
import { readScoped, scoped } from './postgres-read.ts';
import { isoTime } from './run-rows.ts';
import type { RunWake } from './run-wake.ts';
import { runKey } from './wake-hub.ts';

const READ_EVENTS = scoped(
  'ao_read_events',
  `SELECT r.status, r.last_seq, r.agent_id, r.traceparent, e.sequence, e.event_id, e.type,
      (extract(epoch FROM e.time) * 1000)::float8 AS time_ms, e.step_id, e.span_id, e.payload
    FROM orchestrator.runs r
    LEFT JOIN orchestrator.run_events e ON e.tenant_id = r.tenant_id AND e.run_id = r.run_id AND e.sequence > $3
    WHERE r.tenant_id = s.tenant_id AND r.run_id = $2 ORDER BY e.sequence LIMIT $4`,
);

interface EventRow extends pg.QueryResultRow {
  readonly status: RunStatus;
  readonly last_seq: number;
  readonly agent_id: string;
  readonly traceparent: string;
  readonly sequence: number | null;
  readonly event_id: string;
  readonly type: string;
  readonly time_ms: number;
  readonly step_id: string | null;
  readonly span_id: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Sequences are 32-bit in the store; a cursor beyond is simply past every end. */
const MAX_SEQUENCE = 2_147_483_647;

/** A look at a run serves all that wait for it here: their polls come one after the other and would ask the same. */
const LOOK_HOLDS_MS = 500;
const REMEMBERED_LOOKS = 10_000;

/** What the database said of a run when it was asked last. */
interface Look {
  readonly status: RunStatus;
  readonly lastSequence: number;
  readonly atMs: number;
}

export class PostgresEvents implements EventPort {
  readonly #pool: pg.Pool;
  readonly #wake: RunWake;
  readonly #looks = new Map<string, Look>();
  /** Reads under way, by run, cursor and limit. */
  readonly #reads = new Map<string, Promise<EventPage>>();

  constructor(pool: pg.Pool, wake: RunWake) {
    this.#pool = pool;
    this.#wake = wake;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: ['cross_process_wake'] };
  }

  async read(auth: AuthContext, runId: string, query: { readonly after: number; readonly limit: number }): Promise<EventPage> {
    const recent = this.#wake.tail.read(auth.tenant_id, runId, query);
    if (recent !== null) return recent;
    const run = runKey(auth.tenant_id, runId);
    const look = this.#looks.get(run);
    if (look !== undefined && look.lastSequence === query.after && performance.now() - look.atMs < LOOK_HOLDS_MS && this.#wake.announced(auth.tenant_id, runId) <= query.after) {
      return { events: [], status: look.status, lastSequence: look.lastSequence };
    }
    // Streams that one hint woke read the same page, once. Whoever joins a read that began before its own hint finds
    // nothing new, does not wait (the hint is remembered), and reads again.
    const key = `${run}${query.after}${query.limit}`;
    const underWay = this.#reads.get(key);
    if (underWay !== undefined) return underWay;
    const reading = this.#readStore(auth, runId, query).finally(() => this.#reads.delete(key));
    this.#reads.set(key, reading);
    return reading;
  }

  async #readStore(auth: AuthContext, runId: string, query: { readonly after: number; readonly limit: number }): Promise<EventPage> {
    const atMs = performance.now();
    const rows = await readScoped<EventRow>(this.#pool, READ_EVENTS, [auth.tenant_id, runId, Math.min(query.after, MAX_SEQUENCE), query.limit]);
    const first = rows[0];
    if (first === undefined) throw new AgentOsError('not_found', { message: `There is no run ${runId}.`, details: { run_id: runId } });
    const events = first.sequence === null ? [] : rows.map((row) => eventOf(auth.tenant_id, runId, row));
    this.#remember(runKey(auth.tenant_id, runId), { status: first.status, lastSequence: first.last_seq, atMs });
    return { events, status: first.status, lastSequence: first.last_seq };
  }

  #remember(run: string, look: Look): void {
    this.#looks.delete(run);
    this.#looks.set(run, look);
    if (this.#looks.size > REMEMBERED_LOOKS) this.#looks.delete(this.#looks.keys().next().value!);
  }

  announce(auth: AuthContext, runId: string, lastSequence: number): void {
    this.#wake.announceRun(auth.tenant_id, runId, lastSequence);
  }

  wait(auth: AuthContext, runId: string, options: { readonly after: number; readonly maxWaitMs: number; readonly signal: AbortSignal }): Promise<void> {
    return this.#wake.waitForRun(auth.tenant_id, runId, options.after, options.maxWaitMs, options.signal);
  }
}

function eventOf(tenantId: string, runId: string, row: EventRow): RunEvent {
  return {
    eventId: row.event_id,
    sequence: row.sequence!,
    time: isoTime(row.time_ms),
    type: row.type,
    tenantId,
    agentId: row.agent_id,
    runId,
    stepId: row.step_id,
    trace: { traceparent: traceparentAt(row.traceparent, row.span_id), span_id: row.span_id },
    payload: row.payload,
  };
}
