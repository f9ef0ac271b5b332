/**
 * RunStatePort: the durable truth of runs and their events (PRS 5.2, HLD 4).
 *
 * A run is event-sourced: its event log alone says what happened and, through `runtime/progress.ts`, what comes
 * next. A worker may write to a run only under the lease it holds and only at the step it believes the run to be
 * at; both are compared in the same statement as the write (see `runtime/executor.ts` for the protocol).
 */
import type { RunOutput as WireRunOutput } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AgentDefinition } from './agents.ts';
import type { WorkerIdentity } from './queue.ts';

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

export type RunPlan = NonNullable<WireRunOutput['plan']>;

export interface RunOutput {
  readonly type: string;
  readonly text: string | null;
  /** With type `plan`: what a dry run found. */
  readonly plan?: RunPlan;
}

export interface RunInputMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** `text` is what the user says last; `messages`, where given, is the conversation up to and with it. */
export interface RunInput {
  readonly type: string;
  readonly text: string;
  readonly messages?: readonly RunInputMessage[];
}

/** Where a run comes from; absent for a run that a caller asked for by itself. */
export interface RunLineage {
  /** The run whose agent called this one's as a tool. */
  readonly parentRunId?: string;
  /** The run at the top of the tree. */
  readonly rootRunId?: string;
  /** Calls between the root and this run: 1 for a child of the root. */
  readonly depth?: number;
  /** The ended run that this one repeats. */
  readonly retryOf?: string;
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
  /** Times a worker has claimed it since it last waited for another run. */
  readonly attempts: number;
  readonly lineage?: RunLineage;
}

/** What a worker needs to go on with a run: the record, who asked for it, with what, under which definition. */
export interface RunWork extends RunRecord {
  readonly auth: AuthContext;
  readonly input: RunInput;
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
  /** Runs of all tenants that may wait on the node at once; absent: any number. */
  readonly maxQueuedRuns?: number;
}

export interface NewRun {
  readonly runId: string;
  readonly agent: AgentDefinition;
  readonly input: RunInput;
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
    /** The key was made up for this request: no other can have used it, so nobody has to look for it. */
    readonly madeUp?: boolean;
  } | null;
  readonly limits: AdmissionLimits;
  /** `agentos.run.created`. */
  readonly created: EventDraft;
  readonly lineage?: RunLineage;
  /** A worker of this process that has a free slot for the run; absent: the run is queued. */
  readonly handover?: RunHandover | null;
}

/**
 * A claim made in the transaction that creates the run (see `runtime/handover.ts`). The store makes it only when no run
 * of any tenant waits: a new run never overtakes one that is queued.
 */
export interface RunHandover {
  readonly workerId: string;
  readonly leaseMs: number;
  /** `agentos.run.started`. */
  readonly started: EventDraft;
  /** The run's first transition, stored as such (`step` is 1); empty: `step` stays 0. */
  readonly opening: readonly EventDraft[];
}

export type CreateRunResult =
  /** `run` is as it was created: queued, with its first event. `handedOver`: the worker of `NewRun.handover` holds it now. */
  | { readonly outcome: 'created'; readonly run: RunRecord; readonly handedOver?: { readonly lease: RunLease; readonly run: RunWork } | null }
  /** Same key, same body: the first run, at no cost to any quota. */
  | { readonly outcome: 'replayed'; readonly run: RunRecord }
  /** Same key, another body. */
  | { readonly outcome: 'key_reused'; readonly runId: string }
  | { readonly outcome: 'rate_limited'; readonly retryAfterSeconds: number; readonly limit: number }
  | { readonly outcome: 'concurrency_exceeded'; readonly limit: number; readonly used: number }
  /** The node's queue is full, whoever asks. */
  | { readonly outcome: 'queue_full'; readonly limit: number };

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
  /** Any of these. */
  readonly status?: RunStatus | readonly RunStatus[];
  readonly priority?: RunPriority;
  /** All of these must hold. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Children of this run. */
  readonly parentRunId?: string;
  /** ISO 8601; inclusive. */
  readonly createdAfter?: string;
  /** ISO 8601; exclusive. */
  readonly createdBefore?: string;
  readonly limit: number;
  /** Run id to continue after, in the order asked for. */
  readonly after?: string;
  /** By run id, which follows the time of creation; `newest` when absent. */
  readonly order?: 'newest' | 'oldest';
}

export interface RunPage {
  readonly runs: readonly RunRecord[];
  readonly hasMore: boolean;
}

export interface RetentionQuery {
  /** ISO 8601: runs that ended before are deleted with all their events; null keeps them. */
  readonly endedBefore: string | null;
  /** Runs, and idempotency records, deleted at most. */
  readonly limit: number;
}

export interface RunStatePort {
  capabilities(): PortCapabilities;
  /**
   * Creates a queued run with its first event, idempotency record and counters in one transaction. The key is
   * looked up before any quota, so that a replay costs nothing (reliability: idempotency).
   * @throws AgentOsError dependency_unavailable when the store cannot answer; never "carry on".
   */
  createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult>;
  /**
   * The refusal that the tenant's next creation is known to meet, without asking anybody, so that it can be given before
   * any work is done; it does not hold for a creation that may be a replay. null: it has to be asked for. Absent: always.
   */
  refusal?(auth: AuthContext, limits: AdmissionLimits): CreateRunResult | null;
  /** @throws AgentOsError not_found, also for another tenant's run. */
  getRun(auth: AuthContext, runId: string): Promise<RunRecord>;
  /** The run with what it was created with; for workers, replay and retry. @throws AgentOsError not_found. */
  getWork(auth: AuthContext, runId: string): Promise<RunWork>;
  listRuns(auth: AuthContext, query: ListRunsQuery): Promise<RunPage>;
  /**
   * Ends a queued or running run as canceled, appends its terminal event and frees its slot, at once.
   * @throws AgentOsError not_found, invalid_state_transition (it has ended before).
   */
  cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord>;
  /** Commits a transition under lease and step. Ambiguous failures are resolved by reading back. */
  advance(auth: AuthContext, lease: RunLease, transition: RunTransition): Promise<AdvanceResult>;
  /**
   * Deletes one bounded batch of what is past its time: ended runs with their events, and idempotency records that
   * have expired and whose run is not under way. Runs that have not ended are never touched. Answers how many of each
   * went; fewer than `limit` of both means that nothing is left for now.
   */
  deleteExpired(worker: WorkerIdentity, query: RetentionQuery): Promise<{ readonly runs: number; readonly keys: number }>;
}
