/**
 * Budgets and ledger in PostgreSQL, for any number of processes (docs/adr/0009-budget-leases.md).
 *
 * A call is held from leases in memory; the database is asked when a lease is empty, and durably, before anything is
 * spent from it. What ends is booked before the caller learns of it. A tenant without budgets costs its ledger row.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import { encodeTime } from 'ulid';
import { GroupCommit } from '../../platform/db/group-commit.ts';
import { listen, type Listener } from '../../platform/db/listener.ts';
import { fromDatabaseError, isConnectionError } from '../../platform/db/sqlstate.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { priceRefusal, type Amounts } from '../budgets/allowance.ts';
import { windowStart } from '../budgets/windows.ts';
import type { BudgetState, ClaimOutcome, HoldRequest, ReserveOutcome, UsageByModel, UsageDraft, UsageFilter, UsagePort } from '../ports/usage.ts';
import { BookingWriter } from './usage-postgres-writer.ts';
import { endHold, holdFromMemory, keyId, LeaseBook, wantsRefill, type BudgetKey, type Lease, type Part } from './usage-postgres-leases.ts';
import { readRate, flushRates, type RateTake, type RateVerdict } from './usage-postgres-rates.ts';
import { readBudgets, readByModel, readEntries } from './usage-postgres-reads.ts';
import { cleanUp, Replica, sweepDeadReplicas, type ReplicaOptions } from './usage-postgres-replica.ts';
import { canDrop, flushTakings, NotAliveError, UnknownTakingError, type Taking, type TakingVerdict } from './usage-postgres-takings.ts';

export interface PostgresUsageOptions {
  readonly pool: pg.Pool;
  readonly url: string;
  readonly log?: Logger;
  /** After this a process without a sign of life counts as gone; 10,000 when absent. */
  readonly aliveMs?: number;
  /** Milliseconds since the epoch; the database's clock when absent. */
  readonly now?: () => number;
}

interface Hold {
  readonly tenantId: string;
  readonly parts: readonly Part[];
  readonly atMs: number;
  /** `performance.now()`. */
  readonly expiresAt: number;
  /** What it held is back already. */
  expired: boolean;
}

const RECALL_CHANNEL = 'agentos_usage_recall';
const TICK_MS = 500;
const IDLE_MS = 1_000;
const CLEANING_MS = 300_000;
/** Pauses between attempts while another process is asked to give back what it does not use. */
const RECALL_PAUSES_MS = [5, 10, 20, 40, 80, 160];
/** Machines whose clocks differ by more than this are told apart by the database's. */
const CLOCK_SLACK_MS = 60_000;
/** A hold that ran out can still be settled for this long. */
const FORGET_HOLD_MS = 3_600_000;
const NONE: Amounts = { tokens: 0, costMicroUsd: 0 };

const firstEntryOf = (startMs: number): string => `use_${encodeTime(Math.max(0, startMs - CLOCK_SLACK_MS), 10)}`;

export class PostgresUsage implements UsagePort {
  readonly #pool: pg.Pool;
  readonly #replicaOptions: ReplicaOptions;
  readonly #replica: Replica;
  readonly #now: () => number;
  readonly #log: Logger | undefined;
  readonly #takings: GroupCommit<Taking, TakingVerdict>;
  readonly #rates: GroupCommit<RateTake, RateVerdict>;
  readonly #writer: BookingWriter;
  readonly #listener: Listener;
  readonly #timer: NodeJS.Timeout;
  readonly #holds = new Map<string, Hold>();
  #book = new LeaseBook('');
  #beating: Promise<void> | null = null;
  #ticking: Promise<void> | null = null;
  #lastBeat = 0;
  #lastCleaning = performance.now();

  constructor({ pool, url, log, aliveMs = 10_000, now }: PostgresUsageOptions) {
    this.#pool = pool;
    this.#log = log;
    this.#replicaOptions = { pool, aliveMs, log };
    this.#replica = new Replica(this.#replicaOptions);
    this.#now = now ?? (() => Date.now() + this.#replica.clockOffsetMs);
    this.#takings = new GroupCommit({ flush: (takings) => this.#flushTakings(takings), maxBatch: 256 });
    this.#rates = new GroupCommit({ flush: (takes) => flushRates(pool, takes), maxBatch: 256 });
    this.#writer = new BookingWriter({ pool, replicaId: () => this.#replica.id, log });
    this.#listener = listen({ url, applicationName: 'agentos-model-policy-usage', channels: [RECALL_CHANNEL], onNotification: (_channel, payload) => this.#recalled(payload), ...(log === undefined ? {} : { log }) });
    this.#timer = setInterval(() => void this.#tick(), Math.min(TICK_MS, aliveMs / 5));
    this.#timer.unref();
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async reserve(auth: AuthContext, hold: HoldRequest): Promise<ReserveOutcome> {
    if (hold.budgets.length === 0) return this.#held(auth, hold, [], this.#now());
    if (!this.#replica.isAlive) await this.#beat();
    for (let attempt = 0; ; attempt += 1) {
      const nowMs = this.#now();
      const unpriced = priceRefusal(hold.budgets, hold.costMicroUsd, (limit) => windowStart(limit.window, nowMs));
      if (unpriced !== null) return { outcome: 'exceeded', ...unpriced };
      const parts = this.#book.partsOf(auth.tenant_id, hold.budgets, hold.tokens, hold.costMicroUsd, nowMs);
      if (holdFromMemory(parts)) {
        for (const part of parts) if (wantsRefill(part)) this.#refill(part);
        return this.#held(auth, hold, parts, nowMs);
      }
      const verdict = await this.#take(parts);
      if (verdict.outcome === 'taken') return this.#held(auth, hold, parts, nowMs);
      const pauseMs = RECALL_PAUSES_MS[attempt];
      if (verdict.outcome === 'stale') {
        if (pauseMs === undefined) throw databaseAway(null);
        await this.#beat();
        continue;
      }
      if (!verdict.recalled || pauseMs === undefined) return { outcome: 'exceeded', ...verdict.refusal };
      await sleep(pauseMs);
    }
  }

  async settle(auth: AuthContext, holdId: string, usage: UsageDraft): Promise<boolean> {
    const hold = this.#end(auth, holdId);
    if (hold === null) return false;
    await this.#bookEnd(holdId, hold, usage, { tokens: usage.inputTokens + usage.outputTokens, costMicroUsd: usage.costMicroUsd ?? 0 });
    return true;
  }

  async release(auth: AuthContext, holdId: string, usage?: UsageDraft): Promise<boolean> {
    const hold = this.#end(auth, holdId);
    if (hold === null) return false;
    if (usage !== undefined || hold.parts.length > 0) await this.#bookEnd(holdId, hold, usage ?? null, NONE);
    return true;
  }

  async expire(): Promise<void> {
    this.#expireHolds();
    await sweepDeadReplicas(this.#replicaOptions);
  }

  takeRequest(auth: AuthContext, perMinute: number): Promise<RateVerdict> {
    return this.#rates.submit({ tenantId: auth.tenant_id, perMinute });
  }

  async claim(auth: AuthContext, requestId: string, requestHash: string): Promise<ClaimOutcome> {
    if (!this.#replica.isAlive) await this.#beat();
    return (await this.#writer.book({ kind: 'claim', tenantId: auth.tenant_id, requestId, requestHash })) as ClaimOutcome;
  }

  async endClaim(auth: AuthContext, requestId: string, done: boolean): Promise<void> {
    await this.#writer.book({ kind: done ? 'finish' : 'free', tenantId: auth.tenant_id, requestId });
  }

  budgets(auth: AuthContext): Promise<readonly BudgetState[]> {
    return readBudgets(this.#pool, auth, this.#now());
  }

  requestsUsed(auth: AuthContext, perMinute: number): Promise<number> {
    return readRate(this.#pool, { tenantId: auth.tenant_id, perMinute });
  }

  byModel(auth: AuthContext, filter: UsageFilter): Promise<readonly UsageByModel[]> {
    return readByModel(this.#pool, auth, filter, firstEntryOf);
  }

  entries(auth: AuthContext, query: UsageFilter & { readonly limit: number; readonly before?: string }) {
    return readEntries(this.#pool, auth, query, firstEntryOf);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#ticking;
    await this.#listener.close();
    await this.#writer.close();
    for (const lease of this.#book.all) if (canDrop(lease)) this.#submit({ kind: 'drop', lease });
    await this.#takings.close();
    await this.#rates.close();
    await this.#replica.end().catch((error: unknown) => this.#log?.warn({ err: error }, 'This process could not sign off; its leases come back when its time is over.'));
  }

  #held(auth: AuthContext, hold: HoldRequest, parts: readonly Part[], atMs: number): ReserveOutcome {
    const holdId = newId('use', atMs);
    this.#holds.set(holdId, { tenantId: auth.tenant_id, parts, atMs, expiresAt: performance.now() + hold.ttlMs, expired: false });
    return { outcome: 'held', holdId };
  }

  #end(auth: AuthContext, holdId: string): Hold | null {
    const hold = this.#holds.get(holdId);
    if (hold === undefined || hold.tenantId !== auth.tenant_id) return null;
    this.#holds.delete(holdId);
    return hold;
  }

  async #bookEnd(holdId: string, hold: Hold, usage: UsageDraft | null, spent: Amounts): Promise<void> {
    const entry = usage === null ? null : { ...usage, entryId: holdId, atMs: hold.atMs };
    const nowMs = this.#now();
    const parts = hold.parts.map(({ lease, need }) => ({ lease, spent, leaves: hold.expired ? NONE : endHold(lease, need, limitedBy(spent, lease), nowMs) }));
    for (const { lease } of parts) lease.bookings += 1;
    try {
      await this.#writer.book({ kind: 'end', tenantId: hold.tenantId, entry, parts });
    } finally {
      for (const { lease } of parts) lease.bookings -= 1;
    }
  }

  async #take(parts: readonly Part[]): Promise<TakingVerdict> {
    for (const { lease } of parts) lease.waiting += 1;
    try {
      return await this.#takings.submit({ kind: 'call', parts });
    } finally {
      for (const { lease } of parts) lease.waiting -= 1;
    }
  }

  async #flushTakings(takings: readonly Taking[]): Promise<ReadonlyArray<TakingVerdict | Error>> {
    try {
      return await flushTakings({ pool: this.#pool, book: this.#book, firstEntryOf }, takings);
    } catch (error) {
      if (!(error instanceof NotAliveError) && !(error instanceof UnknownTakingError)) throw error;
      this.#startAnew(error.message);
      return takings.map(() => (error instanceof NotAliveError ? { outcome: 'stale' } : databaseAway(error)));
    }
  }

  /** Nothing of this life may be spent from any more; what its calls use is booked all the same. */
  #startAnew(reason: string): void {
    this.#log?.warn({ replica: this.#replica.id, reason }, 'Budgets are set aside anew.');
    this.#book = new LeaseBook('');
    this.#replica.abandon();
  }

  #refill(part: Part): void {
    part.lease.refilling = true;
    this.#submit({ kind: 'refill', part });
  }

  /** In the background; a failure leaves things as they are. */
  #submit(taking: Taking): void {
    this.#takings.submit(taking).catch((error: unknown) => {
      if (taking.kind === 'refill') taking.part.lease.refilling = false;
      this.#log?.warn({ err: error, taking: taking.kind }, 'Budgets could not be set aside or given back; it is tried again.');
    });
  }

  #recalled(payload: string): void {
    const [tenantId, scope, scopeId, window, windowStartMs] = JSON.parse(payload) as [string, BudgetKey['scope'], string, BudgetKey['window'], number];
    const lease: Lease | undefined = this.#book.get(keyId({ tenantId, scope, scopeId, window, windowStartMs }));
    if (lease !== undefined && !lease.tight && !lease.taking) this.#submit({ kind: 'return', lease });
  }

  #beat(): Promise<void> {
    this.#beating ??= this.#beatOnce().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  async #beatOnce(): Promise<void> {
    this.#lastBeat = performance.now();
    try {
      await this.#replica.beat();
      if (this.#book.replicaId !== this.#replica.id) this.#book = new LeaseBook(this.#replica.id);
    } catch (error) {
      if (isConnectionError(error)) this.#writer.suspect();
      throw fromDatabaseError(error);
    }
  }

  #tick(): Promise<void> {
    this.#ticking ??= this.#tickOnce()
      .catch((error: unknown) => {
        this.#log?.warn({ err: error }, 'The upkeep of budgets failed; it is tried again.');
      })
      .finally(() => {
        this.#ticking = null;
      });
    return this.#ticking;
  }

  async #tickOnce(): Promise<void> {
    this.#expireHolds();
    await this.#writer.recover();
    if (performance.now() - this.#lastBeat >= this.#replicaOptions.aliveMs / 5) {
      await this.#beat();
      await sweepDeadReplicas(this.#replicaOptions);
    }
    const now = performance.now();
    for (const lease of this.#book.all) {
      if (!canDrop(lease) || lease.taking || lease.waiting > 0) continue;
      if (now - lease.usedAt > IDLE_MS || this.#now() >= lease.windowEndMs) this.#submit({ kind: 'drop', lease });
    }
    if (now - this.#lastCleaning < CLEANING_MS) return;
    this.#lastCleaning = now;
    await cleanUp(this.#replicaOptions);
  }

  #expireHolds(): void {
    const now = performance.now();
    for (const [holdId, hold] of this.#holds) {
      if (hold.expiresAt > now) continue;
      if (hold.expired && hold.expiresAt + FORGET_HOLD_MS < now) this.#holds.delete(holdId);
      if (hold.expired) continue;
      // What it held goes back at once; the hold itself stays, so that late usage can still be booked.
      const given = { ...hold };
      hold.expired = true;
      if (hold.parts.length > 0) this.#bookEnd(holdId, given, null, NONE).catch((error: unknown) => this.#log?.warn({ err: error }, 'A hold that ran out could not be given back; it is tried again.'));
    }
  }
}

function databaseAway(cause: unknown): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: 'The budget could not be asked: the database was away. Try again.', details: { service: 'postgres' }, retryAfterSeconds: 1, cause });
}

/** A lease holds nothing of a kind that its budget does not limit, so more of it than was held takes nothing. */
function limitedBy(spent: Amounts, { limit }: Lease): Amounts {
  return { tokens: limit?.maxTokens === null ? 0 : spent.tokens, costMicroUsd: limit?.maxCostMicroUsd === null ? 0 : spent.costMicroUsd };
}
