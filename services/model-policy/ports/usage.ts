/**
 * UsagePort: what model calls may still spend, and what they have spent (PRS 15.3, HLD 4.2, 5.3).
 *
 * A call reserves its worst case in every budget that applies to it before it reaches a backend, and afterwards
 * settles what it used or releases the hold. Over any number of processes, spent and reserved together never exceed a
 * limit by a reservation that was granted. Only two things can put `spent` above a limit: a limit that is lowered
 * below what is spent already, and a backend that used more than was held for it, which is booked all the same.
 *
 * Amounts are integers: tokens, and micro-dollars. Windows are aligned to UTC and a hold belongs to the windows in
 * which it was made, however late it is settled. A hold ends exactly once: by settle, by release, by its own time, or
 * because the process that made it is gone, which the store's clock decides.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export type BudgetScope = 'tenant' | 'agent' | 'principal';
export type BudgetWindow = 'minute' | 'hour' | 'day' | 'month';

export interface BudgetName {
  readonly scope: BudgetScope;
  /** The agent or principal; empty for the tenant. */
  readonly scopeId: string;
  readonly window: BudgetWindow;
}

/** One budget that applies to a call. */
export interface BudgetLimit extends BudgetName {
  /** null: not limited. */
  readonly maxTokens: number | null;
  readonly maxCostMicroUsd: number | null;
}

export interface HoldRequest {
  /** Worst case, input and output together. */
  readonly tokens: number;
  /** Worst case; null where the model has no price, which a budget in dollars refuses. */
  readonly costMicroUsd: number | null;
  /** At most one of each scope, id and window. Empty: nothing is held, and nothing is asked of the store. */
  readonly budgets: readonly BudgetLimit[];
  /** After this a hold that nobody ended is released. */
  readonly ttlMs: number;
}

export interface BudgetRefusal {
  readonly reason: 'token_budget_exceeded' | 'cost_budget_exceeded' | 'model_price_unknown';
  readonly scope: BudgetScope;
  readonly scopeId: string;
  readonly window: BudgetWindow;
  /** Tokens or micro-dollars, as the reason says. */
  readonly limit: number;
  readonly spent: number;
  readonly reserved: number;
  readonly requested: number;
  /** Milliseconds since the epoch: the end of the window. */
  readonly resetAtMs: number;
}

export type ReserveOutcome =
  | { readonly outcome: 'held'; readonly holdId: string }
  | ({ readonly outcome: 'exceeded' } & BudgetRefusal);

/** A row of the ledger, as the caller knows it. */
export interface UsageDraft {
  readonly requestId: string;
  readonly runId: string | null;
  readonly agentId: string | null;
  readonly principalId: string;
  readonly operation: 'chat' | 'embed';
  readonly model: string;
  readonly backend: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** null: the model has no price. */
  readonly costMicroUsd: number | null;
  /** `partial`: the answer was cut short, by the caller or the backend. `released`: nothing was used. */
  readonly state: 'settled' | 'partial' | 'released';
  readonly fallbackUsed: boolean;
  /** The backend did not count; the tokens are an estimate. */
  readonly estimated: boolean;
}

export interface UsageEntry extends UsageDraft {
  /** The hold's id, `use_…`, ordered by time. */
  readonly entryId: string;
  /** When the call was held, so that an entry and its budgets agree on the window. */
  readonly atMs: number;
}

export interface BudgetState {
  readonly scope: BudgetScope;
  readonly scopeId: string;
  readonly window: BudgetWindow;
  readonly windowStartMs: number;
  readonly spentTokens: number;
  /** By calls under way, and by what a process has set aside for its next calls. */
  readonly reservedTokens: number;
  readonly spentMicroUsd: number;
  readonly reservedMicroUsd: number;
}

/** One day (UTC), model and backend. */
export interface UsageByModel {
  /** `YYYY-MM-DD`. */
  readonly day: string;
  readonly model: string;
  readonly backend: string;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** null: no call of it had a price. */
  readonly costMicroUsd: number | null;
}

export interface UsageFilter {
  /** Inclusive and exclusive, milliseconds since the epoch. */
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly model?: string;
  readonly agentId?: string;
  readonly runId?: string;
}

/**
 * `claimed`: the request is new and the caller's to make. `open`: it is under way. `done`: it has been made and
 * charged. `other_request`: the id was used for another request. `lost`: it was under way in a process that has been
 * silent for long, and whether it was charged stands where nobody has found it yet.
 */
export type ClaimOutcome = 'claimed' | 'open' | 'done' | 'other_request' | 'lost';

/** @throws AgentOsError dependency_unavailable when the store cannot answer; then nothing was granted. */
export interface UsagePort {
  capabilities(): PortCapabilities;

  /** Holds the worst case in all budgets, or in none. */
  reserve(auth: AuthContext, hold: HoldRequest): Promise<ReserveOutcome>;

  /**
   * Ends a hold and books what was used, to the windows of the hold. Resolves once this process may go without it being
   * lost; whoever reads, here or in another process, finds it. What it leaves of a budget to others they have at once. A hold that ran out meanwhile is booked all the same. False when it was settled or
   * released before, and then nothing is booked.
   */
  settle(auth: AuthContext, holdId: string, usage: UsageDraft): Promise<boolean>;

  /** Ends a hold without usage; with `usage` (state `released`) the attempt stands in the ledger. False as for settle. */
  release(auth: AuthContext, holdId: string, usage?: UsageDraft): Promise<boolean>;

  /** Ends holds whose time is over, those of processes that are gone included. Adapters do it by themselves too. */
  expire(): Promise<void>;

  /** One more request of the tenant under this rate (GCRA, exact over all processes); 0 refuses all. */
  takeRequest(auth: AuthContext, perMinute: number): Promise<{ readonly allowed: true } | { readonly allowed: false; readonly retryAfterMs: number }>;

  /** Claims a request id of the tenant for a request with this hash. A claim of a process that is gone can be taken over. */
  claim(auth: AuthContext, requestId: string, requestHash: string): Promise<ClaimOutcome>;

  /** Ends a claim: `done` keeps it for `CLAIM_TTL_MS`, otherwise the id can be used again. */
  endClaim(auth: AuthContext, requestId: string, done: boolean): Promise<void>;

  /**
   * Budgets of windows that are open now and have met a call; and those of `asked` that have met none yet, with what
   * their windows have seen, which is what they will begin with.
   */
  budgets(auth: AuthContext, asked?: readonly BudgetName[]): Promise<readonly BudgetState[]>;

  /** Requests of the last minute as the rate counts them. */
  requestsUsed(auth: AuthContext, perMinute: number): Promise<number>;

  /** Newest day first, then by model and backend. */
  byModel(auth: AuthContext, filter: UsageFilter): Promise<readonly UsageByModel[]>;

  /** Newest first; `before` is an entry id. */
  entries(auth: AuthContext, query: UsageFilter & { readonly limit: number; readonly before?: string }): Promise<{ readonly entries: readonly UsageEntry[]; readonly hasMore: boolean }>;

  /** Gives back what is set aside and waits for what is under way. */
  close(): Promise<void>;
}

/** How long a request id that was charged is remembered. */
export const CLAIM_TTL_MS = 24 * 3_600_000;
