/**
 * RunStatePort: the durable truth of runs and their events (PRS 5.2, HLD 4).
 *
 * A run is event-sourced: its event log alone says what happened and, through `runtime/progress.ts`, what comes
 * next. A worker may write to a run only under the lease it holds and only at the step it believes the run to be
 * at; both are compared in the same statement as the write (see `runtime/executor.ts` for the protocol).
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AgentDefinition } from './agents.ts';

export type RunStatus = 'queued' | 'running' | 'completed' | 'failed' | 'canceled';
export type RunPriority = 'low' | 'normal' | 'high';

export interface RunOptions {
  readonly priority: RunPriority;
  /** Milliseconds of execution, counted from `startedAt`. */
  readonly timeoutMs: number;
  /** Model calls and tool calls together. */
  readonly maxSteps: number;
  readonly streamEvents: boolean;
  readonly dryRun: boolean;
  readonly modelTier: string | null;
}

export interface RunTooling {
  /** null: the agent's own tools. */
  readonly allowlist: readonly string[] | null;
  /** Beats every allow-list. */
  readonly denylist: readonly string[];
}

export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface RunSummary {
  readonly stepsTotal: number;
  readonly toolCallsTotal: number;
  readonly modelCallsTotal: number;
}

export interface RunOutput {
  readonly type: string;
  readonly text: string | null;
}

/** A run as stored. Times are ISO 8601 UTC strings. */
export interface RunRecord {
  readonly tenantId: string;
  readonly runId: string;
  readonly agentId: string;
  readonly agentVersion: string;
  readonly status: RunStatus;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly completedAt: string | null;
  readonly options: RunOptions;
  readonly tooling: RunTooling;
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: RunSummary;
  readonly output: RunOutput | null;
  readonly error: RunFailure | null;
  readonly correlationId: string;
  readonly traceparent: string;
  readonly idempotencyKey: string | null;
  readonly principalId: string;
  /** Sequence of the newest event. */
  readonly lastSequence: number;
  /** Number of transitions a worker has committed: the fence's second half. */
  readonly step: number;
  /** Times a worker has claimed it. */
  readonly attempts: number;
}

/** What a worker needs to go on with a run: the record, who asked for it, with what, under which definition. */
export interface RunWork extends RunRecord {
  readonly auth: AuthContext;
  readonly input: { readonly type: string; readonly text: string };
  readonly context: Readonly<Record<string, unknown>>;
  /** The agent as it was when the run was created; later versions do not change a run under way. */
  readonly agent: AgentDefinition;
}

/** An event before it has a sequence and a time; both are given in the transaction that stores it. */
export interface EventDraft {
  /** Derived from (run, step, kind), never from the attempt. */
  readonly eventId: string;
  /** e.g. `agentos.run.step.started` (Appendix D.5). */
  readonly type: string;
  readonly stepId: string | null;
  readonly spanId: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Admission limits of the tenant, checked and counted in the transaction that creates the run. */
export interface AdmissionLimits {
  /** Runs that are queued or running at once. */
  readonly maxConcurrentRuns: number;
  /** Sustained creations a second; 0 refuses all. */
  readonly createQps: number;
  /** Creations at once above the sustained rate, at least 1 unless `createQps` is 0. */
  readonly createBurst: number;
}

export interface NewRun {
  readonly runId: string;
  readonly agent: AgentDefinition;
  readonly input: { readonly type: string; readonly text: string };
  readonly context: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly tooling: RunTooling;
  readonly options: RunOptions;
  readonly correlationId: string;
  readonly traceparent: string;
  readonly idempotency: {
    readonly key: string;
    /** SHA-256 (hex) of the canonical validated body. */
    readonly requestHash: string;
    readonly ttlHours: number;
  } | null;
  readonly limits: AdmissionLimits;
  /** `agentos.run.created`. */
  readonly created: EventDraft;
}

export type CreateRunResult =
  | { readonly outcome: 'created'; readonly run: RunRecord }
  /** Same key, same body: the first run, at no cost to any quota. */
  | { readonly outcome: 'replayed'; readonly run: RunRecord }
  /** Same key, another body. */
  | { readonly outcome: 'key_reused'; readonly runId: string }
  | { readonly outcome: 'rate_limited'; readonly retryAfterSeconds: number; readonly limit: number }
  | { readonly outcome: 'concurrency_exceeded'; readonly limit: number; readonly used: number };

/** The right to write to a run, until `leaseUntil` by the database's clock. */
export interface RunLease {
  readonly tenantId: string;
  readonly runId: string;
  readonly token: string;
}

/** One durable step of a run: its events, and its end where it is the last one. */
export interface RunTransition {
  /** Must equal the stored `step`; the write sets it to `expectedStep + 1`. */
  readonly expectedStep: number;
  readonly events: readonly EventDraft[];
  /** Added to the run's summary. */
  readonly summaryDelta: RunSummary;
  readonly end:
    | null
    | { readonly status: 'completed'; readonly output: RunOutput }
    | { readonly status: 'failed'; readonly error: RunFailure };
}

export type AdvanceResult =
  | { readonly outcome: 'applied'; readonly lastSequence: number }
  /** An earlier attempt of this very transition was committed although its answer was lost. */
  | { readonly outcome: 'already_applied'; readonly lastSequence: number }
  /** Somebody else holds the run, it ended, or it was canceled: stop working on it. */
  | { readonly outcome: 'fenced'; readonly status: RunStatus };

export interface ListRunsQuery {
  readonly agentId?: string;
  readonly status?: RunStatus;
  readonly limit: number;
  /** Run id to continue after; newest first. */
  readonly after?: string;
}

export interface RunStatePort {
  capabilities(): PortCapabilities;
  /**
   * Creates a queued run with its first event, idempotency record and counters in one transaction. The key is
   * looked up before any quota, so that a replay costs nothing (reliability: idempotency).
   * @throws AgentOsError dependency_unavailable when the store cannot answer; never "carry on".
   */
  createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult>;
  /** @throws AgentOsError not_found, also for another tenant's run. */
  getRun(auth: AuthContext, runId: string): Promise<RunRecord>;
  listRuns(auth: AuthContext, query: ListRunsQuery): Promise<{ readonly runs: readonly RunRecord[]; readonly hasMore: boolean }>;
  /**
   * Ends a queued or running run as canceled, appends its terminal event and frees its slot, at once.
   * @throws AgentOsError not_found, invalid_state_transition (it has ended before).
   */
  cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord>;
  /** Commits a transition under lease and step. Ambiguous failures are resolved by reading back. */
  advance(auth: AuthContext, lease: RunLease, transition: RunTransition): Promise<AdvanceResult>;
}
