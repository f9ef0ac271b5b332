/** Budgets and ledger of this process: exact, and gone with it. */
import { newId } from '../../platform/ids.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { allowance, needOf, priceRefusal, refusal } from '../budgets/allowance.ts';
import { takeFromRate, usedOfRate } from '../budgets/request-rate.ts';
import { windowEnd, windowStart } from '../budgets/windows.ts';
import { matchesFilter, sumByModel } from '../metering/ledger-filter.ts';
import { CLAIM_TTL_MS, type BudgetLimit, type BudgetName, type BudgetState, type ClaimOutcome, type HoldRequest, type ReserveOutcome, type UsageByModel, type UsageDraft, type UsageEntry, type UsageFilter, type UsagePort } from '../ports/usage.ts';

type Counts = { -readonly [Key in keyof BudgetState]: BudgetState[Key] };

interface Hold {
  readonly tenantId: string;
  readonly atMs: number;
  readonly parts: readonly { readonly counts: Counts; readonly tokens: number; readonly costMicroUsd: number }[];
  readonly expiresAtMs: number;
  /** Its time ran out: what it held is back, what it used is still to be booked. */
  expired: boolean;
}

interface Claim {
  readonly hash: string;
  done: boolean;
  untilMs: number;
}

class TenantUsage {
  readonly budgets = new Map<string, Counts>();
  readonly entries: UsageEntry[] = [];
  readonly claims = new Map<string, Claim>();
  arrivalMs = 0;
}

export class MemoryUsage implements UsagePort {
  readonly #now: () => number;
  readonly #tenants = new Map<string, TenantUsage>();
  readonly #holds = new Map<string, Hold>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async reserve(auth: AuthContext, hold: HoldRequest): Promise<ReserveOutcome> {
    const nowMs = this.#now();
    await this.expire();
    const startOf = (limit: BudgetLimit): number => windowStart(limit.window, nowMs);
    const unpriced = priceRefusal(hold.budgets, hold.costMicroUsd, startOf);
    if (unpriced !== null) return { outcome: 'exceeded', ...unpriced };
    const parts: { counts: Counts; tokens: number; costMicroUsd: number }[] = [];
    for (const limit of hold.budgets) {
      const counts = this.#counts(auth.tenant_id, limit, startOf(limit));
      const need = needOf(limit, hold.tokens, hold.costMicroUsd);
      const fits = allowance(limit.maxTokens, counts.spentTokens, counts.reservedTokens, need.tokens, 0) !== null
        && allowance(limit.maxCostMicroUsd, counts.spentMicroUsd, counts.reservedMicroUsd, need.costMicroUsd, 0) !== null;
      if (!fits) return { outcome: 'exceeded', ...refusal(limit, counts.windowStartMs, counts, need) };
      parts.push({ counts, ...need });
    }
    for (const { counts, tokens, costMicroUsd } of parts) {
      counts.reservedTokens += tokens;
      counts.reservedMicroUsd += costMicroUsd;
    }
    const holdId = newId('use', nowMs);
    this.#holds.set(holdId, { tenantId: auth.tenant_id, atMs: nowMs, parts, expiresAtMs: nowMs + hold.ttlMs, expired: false });
    return { outcome: 'held', holdId };
  }

  async settle(auth: AuthContext, holdId: string, usage: UsageDraft): Promise<boolean> {
    const hold = this.#end(auth, holdId);
    if (hold === null) return false;
    for (const { counts } of hold.parts) {
      counts.spentTokens += usage.inputTokens + usage.outputTokens;
      counts.spentMicroUsd += usage.costMicroUsd ?? 0;
    }
    this.#record(auth, holdId, hold, usage);
    return true;
  }

  async release(auth: AuthContext, holdId: string, usage?: UsageDraft): Promise<boolean> {
    const hold = this.#end(auth, holdId);
    if (hold === null) return false;
    if (usage !== undefined) this.#record(auth, holdId, hold, usage);
    return true;
  }

  async expire(): Promise<void> {
    const nowMs = this.#now();
    for (const hold of this.#holds.values()) {
      if (hold.expired || hold.expiresAtMs > nowMs) continue;
      hold.expired = true;
      giveBack(hold);
    }
  }

  async takeRequest(auth: AuthContext, perMinute: number): Promise<{ readonly allowed: true } | { readonly allowed: false; readonly retryAfterMs: number }> {
    const tenant = this.#tenant(auth.tenant_id);
    const { allowed, arrivalMs, retryAfterMs } = takeFromRate(tenant.arrivalMs, this.#now(), perMinute);
    tenant.arrivalMs = arrivalMs;
    return allowed ? { allowed } : { allowed, retryAfterMs };
  }

  async claim(auth: AuthContext, requestId: string, requestHash: string): Promise<ClaimOutcome> {
    const { claims } = this.#tenant(auth.tenant_id);
    const known = claims.get(requestId);
    if (known === undefined || (known.done && known.untilMs <= this.#now())) {
      claims.set(requestId, { hash: requestHash, done: false, untilMs: 0 });
      return 'claimed';
    }
    if (known.hash !== requestHash) return 'other_request';
    return known.done ? 'done' : 'open';
  }

  async endClaim(auth: AuthContext, requestId: string, done: boolean): Promise<void> {
    const { claims } = this.#tenant(auth.tenant_id);
    const claim = claims.get(requestId);
    if (claim === undefined) return;
    if (!done) claims.delete(requestId);
    else Object.assign(claim, { done, untilMs: this.#now() + CLAIM_TTL_MS });
  }

  async budgets(auth: AuthContext, asked: readonly BudgetName[] = []): Promise<readonly BudgetState[]> {
    await this.expire();
    const nowMs = this.#now();
    const all = new Map(this.#tenant(auth.tenant_id).budgets);
    for (const name of asked) {
      const startMs = windowStart(name.window, nowMs);
      if (!all.has(keyOf(name, startMs))) all.set(keyOf(name, startMs), this.#seen(auth.tenant_id, name, startMs));
    }
    return [...all.values()].filter((counts) => windowStart(counts.window, nowMs) === counts.windowStartMs).map((counts) => ({ ...counts }));
  }

  async requestsUsed(auth: AuthContext, perMinute: number): Promise<number> {
    return usedOfRate(this.#tenant(auth.tenant_id).arrivalMs, this.#now(), perMinute);
  }

  async byModel(auth: AuthContext, filter: UsageFilter): Promise<readonly UsageByModel[]> {
    return sumByModel(this.#tenant(auth.tenant_id).entries.filter((entry) => matchesFilter(entry, filter)));
  }

  async entries(auth: AuthContext, query: UsageFilter & { readonly limit: number; readonly before?: string }) {
    const { limit, before, ...filter } = query;
    const found = this.#tenant(auth.tenant_id).entries.filter((entry) => matchesFilter(entry, filter) && (before === undefined || entry.entryId < before)).sort((one, other) => (one.entryId < other.entryId ? 1 : -1));
    return { entries: found.slice(0, limit), hasMore: found.length > limit };
  }

  async close(): Promise<void> {}

  #tenant(tenantId: string): TenantUsage {
    let tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) this.#tenants.set(tenantId, (tenant = new TenantUsage()));
    return tenant;
  }

  /** A budget that is met for the first time in its window starts with what the window has seen already. */
  #counts(tenantId: string, name: BudgetName, windowStartMs: number): Counts {
    const { budgets } = this.#tenant(tenantId);
    const key = keyOf(name, windowStartMs);
    let counts = budgets.get(key);
    if (counts === undefined) budgets.set(key, (counts = this.#seen(tenantId, name, windowStartMs)));
    return counts;
  }

  #seen(tenantId: string, { scope, scopeId, window }: BudgetName, windowStartMs: number): Counts {
    const untilMs = windowEnd(window, windowStartMs);
    const seen = this.#tenant(tenantId).entries.filter((entry) => entry.atMs >= windowStartMs && entry.atMs < untilMs
      && (scope === 'tenant' || (scope === 'agent' ? entry.agentId : entry.principalId) === scopeId));
    return {
      scope, scopeId, window, windowStartMs, reservedTokens: 0, reservedMicroUsd: 0,
      spentTokens: seen.reduce((sum, entry) => sum + entry.inputTokens + entry.outputTokens, 0),
      spentMicroUsd: seen.reduce((sum, entry) => sum + (entry.costMicroUsd ?? 0), 0),
    };
  }

  #end(auth: AuthContext, holdId: string): Hold | null {
    const hold = this.#holds.get(holdId);
    if (hold === undefined || hold.tenantId !== auth.tenant_id) return null;
    this.#holds.delete(holdId);
    if (!hold.expired) giveBack(hold);
    return hold;
  }

  #record(auth: AuthContext, entryId: string, hold: Hold, usage: UsageDraft): void {
    this.#tenant(auth.tenant_id).entries.push({ ...usage, entryId, atMs: hold.atMs });
  }
}

const keyOf = ({ scope, scopeId, window }: BudgetName, windowStartMs: number): string => `${scope}\n${scopeId}\n${window}\n${windowStartMs}`;

function giveBack(hold: Hold): void {
  for (const { counts, tokens, costMicroUsd } of hold.parts) {
    counts.reservedTokens -= tokens;
    counts.reservedMicroUsd -= costMicroUsd;
  }
}
