/**
 * Budgets and ledger in PostgreSQL, for any number of processes (docs/adr/0009-budget-leases.md, 0010-call-journal.md).
 *
 * A call is held from leases in memory; the database is asked when a lease is empty, and durably, before anything is
 * spent from it. What ends is booked before the caller learns of it: in the journal of this process, or in the database.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import { encodeTime } from 'ulid';
import { GroupCommit } from '../../platform/db/group-commit.ts';
import { listen, type Listener } from '../../platform/db/listener.ts';
import type { DatabaseUrl } from '../../platform/db/pool.ts';
import { fromDatabaseError, isConnectionError } from '../../platform/db/sqlstate.ts';
import { storableJson } from '../../platform/db/storable.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { priceRefusal, type Amounts } from '../budgets/allowance.ts';
import { windowStart } from '../budgets/windows.ts';
import type { BudgetName, BudgetState, ClaimOutcome, HoldRequest, ReserveOutcome, UsageByModel, UsageDraft, UsageFilter, UsagePort } from '../ports/usage.ts';
import type { CallWriter } from './usage-call-writer.ts';
import { claimId, type BookedPart, type LedgerRow } from './usage-postgres-bookings.ts';
import { DoubtfulClaims, flushClaims, type Claim } from './usage-postgres-claims.ts';
import { ASK_CHANNEL, JournalPeers, TOLD_CHANNEL } from './usage-journal-peers.ts';
import { endHold, holdFromMemory, keyId, LeaseBook, wantsRefill, type BudgetKey, type Lease, type Part } from './usage-postgres-leases.ts';
import { readRate, flushRates, type RateTake, type RateVerdict } from './usage-postgres-rates.ts';
import { readBudgets, readByModel, readEntries } from './usage-postgres-reads.ts';
import { cleanUp, releaseLife, Replica, sweepDeadReplicas, type ReplicaOptions } from './usage-postgres-replica.ts';
import { canDrop, flushTakings, NotAliveError, UnknownTakingError, type Taking, type TakingVerdict } from './usage-postgres-takings.ts';
import { DatabaseWriter } from './usage-postgres-writer.ts';

export interface PostgresUsageOptions {
  readonly pool: pg.Pool;
  readonly url: DatabaseUrl;
  readonly log?: Logger;
  /** After this a process without a sign of life counts as gone; 10,000 when absent. */
  readonly aliveMs?: number;
  /** As decisions use it, kept up here; its owner closes it. One of its own, straight into the database, when absent. */
  readonly writer?: CallWriter;
  /** How long the journal of a process that is gone is waited for, before what it had set aside counts as spent; 900,000 when absent. */
  readonly journalGraceMs?: number;
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
  readonly #writer: CallWriter;
  readonly #ownsWriter: boolean;
  readonly #claims: GroupCommit<Claim, ClaimOutcome>;
  readonly #doubtful: DoubtfulClaims;
  readonly #listener: Listener;
  readonly #timer: NodeJS.Timeout;
  readonly #holds = new Map<string, Hold>();
  #book = new LeaseBook('');
  /** Lives of this process with a journal that are over, until the ledger has all their calls. */
  #former: LeaseBook[] = [];
  /** Claims whose end the database does not have yet, with the hash of their requests; and those that are open. */
  readonly #openClaims = new Map<string, string>();
  readonly #ending = new Set<string>();
  #beating: Promise<void> | null = null;
  #ticking: Promise<void> | null = null;
  #lastBeat = 0;
  #lastCleaning = performance.now();

  constructor({ pool, url, log, aliveMs = 10_000, writer, journalGraceMs = 900_000, now }: PostgresUsageOptions) {
    this.#pool = pool;
    this.#log = log;
    this.#writer = writer ?? new DatabaseWriter({ pool, log });
    this.#ownsWriter = writer === undefined;
    this.#replicaOptions = { pool, aliveMs, log, journalId: this.#writer.journalId, journalGraceMs };
    this.#replica = new Replica(this.#replicaOptions);
    this.#now = now ?? (() => Date.now() + this.#replica.clockOffsetMs);
    this.#takings = new GroupCommit({ flush: (takings) => this.#flushTakings(takings), maxBatch: 256 });
    this.#rates = new GroupCommit({ flush: (takes) => flushRates(pool, takes), maxBatch: 256 });
    const peers = new JournalPeers({ pool, journalId: this.#writer.journalId ?? '', flush: () => this.#writer.flush(), log });
    this.#writer.attach({ isTrusted: () => this.#replica.isAlive, askOthers: () => peers.ask() });
    this.#doubtful = new DoubtfulClaims(pool);
    this.#claims = new GroupCommit<Claim, ClaimOutcome>({ flush: (claims) => flushClaims(pool, this.#replica.id, aliveMs, claims), key: claimId, maxBatch: 256 });
    this.#listener = listen({ url, applicationName: 'agentos-model-policy-usage', channels: [RECALL_CHANNEL, ASK_CHANNEL, TOLD_CHANNEL], onNotification: (channel, payload) => (channel === RECALL_CHANNEL ? this.#recalled(payload) : peers.received(channel, payload)), ...(log === undefined ? {} : { log }) });
    this.#timer = setInterval(() => void this.#tick(), Math.min(TICK_MS, aliveMs / 5));
    this.#timer.unref();
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async reserve(auth: AuthContext, hold: HoldRequest): Promise<ReserveOutcome> {
    if (this.#writer.isStalled) throw databaseAway(null);
    // Others judge by this life whether the journal is somebody's.
    if (!this.#replica.isAlive && (hold.budgets.length > 0 || this.#writer.journalId !== null)) await this.#beat();
    if (hold.budgets.length === 0) return this.#held(auth, hold, [], this.#now());
    for (let attempt = 0, asked = false; ; attempt += 1) {
      const nowMs = this.#now();
      const unpriced = priceRefusal(hold.budgets, hold.costMicroUsd, (limit) => windowStart(limit.window, nowMs));
      if (unpriced !== null) return { outcome: 'exceeded', ...unpriced };
      const parts = this.#book.partsOf(auth.tenant_id, hold.budgets, hold.tokens, hold.costMicroUsd, nowMs);
      if (holdFromMemory(parts)) {
        for (const part of parts) if (wantsRefill(part)) this.#refill(part);
        return this.#held(auth, hold, parts, nowMs);
      }
      // A budget that is met for the first time begins with what the ledger has.
      if (this.#writer.isBehind && parts.some(({ lease }) => !lease.opened)) await this.#writer.flush();
      const verdict = await this.#take(parts);
      if (verdict.outcome === 'taken') return this.#held(auth, hold, parts, nowMs);
      const pauseMs = RECALL_PAUSES_MS[attempt];
      if (verdict.outcome === 'stale') {
        if (pauseMs === undefined) throw databaseAway(null);
        await this.#beat();
        continue;
      }
      if (verdict.recalled && pauseMs !== undefined) await sleep(pauseMs);
      // Who is refused learns what was spent up to now.
      else if (this.#writer.isBehind && !asked) await this.#writer.flush().then(() => (asked = true));
      else return { outcome: 'exceeded', ...verdict.refusal };
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
    const claim = { tenantId: auth.tenant_id, requestId, requestHash };
    if (this.#ending.has(claimId(claim))) await this.#writer.flush();
    await this.#doubtful.settle(claimId(claim));
    const replicaId = this.#replica.id;
    const outcome = await this.#claims.submit(claim).catch((error: unknown) => {
      this.#doubtful.add(claim, [replicaId, this.#replica.id]);
      throw error;
    });
    if (outcome === 'claimed') this.#openClaims.set(claimId(claim), requestHash);
    return outcome;
  }

  async endClaim(auth: AuthContext, requestId: string, done: boolean): Promise<void> {
    const claim = { tenantId: auth.tenant_id, requestId };
    const id = claimId(claim);
    const requestHash = this.#openClaims.get(id);
    this.#openClaims.delete(id);
    // Who waits for it, here or elsewhere, may make the call.
    if (!done || requestHash === undefined) return this.#writer.book([{ kind: 'free', ...claim }], { stored: true });
    this.#ending.add(id);
    await this.#writer.book([{ kind: 'finish', ...claim, requestHash, replicaId: this.#replica.id }], { onStored: () => this.#ending.delete(id) });
  }

  async budgets(auth: AuthContext, asked: readonly BudgetName[] = []): Promise<readonly BudgetState[]> {
    await this.#writer.flushAll();
    return readBudgets(this.#pool, auth, this.#now(), asked, firstEntryOf);
  }

  requestsUsed(auth: AuthContext, perMinute: number): Promise<number> {
    return readRate(this.#pool, { tenantId: auth.tenant_id, perMinute });
  }

  async byModel(auth: AuthContext, filter: UsageFilter): Promise<readonly UsageByModel[]> {
    await this.#writer.flushAll();
    return readByModel(this.#pool, auth, filter, firstEntryOf);
  }

  async entries(auth: AuthContext, query: UsageFilter & { readonly limit: number; readonly before?: string }) {
    await this.#writer.flushAll();
    return readEntries(this.#pool, auth, query, firstEntryOf);
  }

  /** Stops all upkeep and leaves everything as it is, as a process does that is killed. For tests. */
  async abandon(): Promise<void> {
    clearInterval(this.#timer);
    await this.#ticking;
    await this.#listener.close();
  }

  async close(): Promise<void> {
    await this.abandon();
    await this.#claims.close();
    if (this.#ownsWriter) await this.#writer.close();
    const left = await this.#writer.flush().then(() => null, (error: unknown) => error ?? 'unknown');
    for (const lease of this.#book.all) if (canDrop(lease)) this.#submit({ kind: 'drop', lease });
    await this.#takings.close();
    await this.#rates.close();
    try {
      // What the journal still has is shipped by the next process, which then gives back the leases.
      if (left !== null) throw left;
      for (const { replicaId } of this.#former) await releaseLife(this.#pool, replicaId);
      await this.#replica.end();
    } catch (error) {
      this.#log?.warn({ err: error }, 'This process could not sign off; its leases come back when its time is over.');
    }
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
    const entry = usage === null ? null : storableJson({ tenantId: hold.tenantId, entryId: holdId, atMs: hold.atMs, ...usage } satisfies LedgerRow);
    const nowMs = this.#now();
    let changesRoom = false;
    const parts = hold.parts.map(({ lease, need }): BookedPart => {
      const limited = limitedBy(spent, lease);
      const leaves = hold.expired ? NONE : endHold(lease, need, limited, nowMs);
      changesRoom ||= leaves.tokens !== limited.tokens || leaves.costMicroUsd !== limited.costMicroUsd;
      lease.bookings += 1;
      return { key: lease.key, replicaId: lease.replicaId, spent, leaves };
    });
    const onStored = (): void => {
      for (const { lease } of hold.parts) lease.bookings -= 1;
    };
    // What a lease loses is spent, as a rule: others find as much room before as after. Where it is not, they have to see it.
    await this.#writer.book([{ kind: 'end', tenantId: hold.tenantId, entryId: holdId, entry, parts }], { stored: changesRoom, onStored });
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
    if (this.#writer.journalId !== null) this.#former.push(this.#book);
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
    const beats = performance.now() - this.#lastBeat >= this.#replicaOptions.aliveMs / 5;
    // Before anything that may fail by itself: it would count as dead else.
    if (beats) await this.#beat();
    await this.#writer.upkeep();
    await this.#releaseFormer();
    await this.#doubtful.settleAll();
    if (beats) await sweepDeadReplicas(this.#replicaOptions);
    const now = performance.now();
    for (const lease of this.#book.all) {
      if (!canDrop(lease) || lease.taking || lease.waiting > 0) continue;
      if (now - lease.usedAt > IDLE_MS || this.#now() >= lease.windowEndMs) this.#submit({ kind: 'drop', lease });
    }
    if (now - this.#lastCleaning < CLEANING_MS) return;
    this.#lastCleaning = now;
    await cleanUp(this.#replicaOptions);
  }

  /** Holds of a former life are settled from its leases, however late. */
  async #releaseFormer(): Promise<void> {
    for (const book of this.#former.filter((each) => [...each.all].every(canDrop))) {
      await releaseLife(this.#pool, book.replicaId);
      this.#former = this.#former.filter((each) => each !== book);
    }
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
