/** The list of followed runs in memory. */
import { newId } from '../../platform/ids.ts';
import { followKey, type FollowedRun, type FollowList } from '../replication/follow-list.ts';

/** What the index of forwards has to say. */
export interface ForwardedRunFacts {
  readonly tenantId: string;
  readonly runId: string;
  readonly targetStackId: string;
  readonly createdAt: Date;
}

interface Entry {
  readonly tenantId: string;
  readonly runId: string;
  readonly targetStackId: string;
  failures: number;
  token: string | null;
  dueAtMs: number;
  finished: boolean;
}

export class MemoryFollowList implements FollowList {
  readonly #forwards: () => Iterable<ForwardedRunFacts>;
  readonly #entries = new Map<string, Entry>();

  constructor(forwards: () => Iterable<ForwardedRunFacts>) {
    this.#forwards = forwards;
  }

  async enter({ ownStackId, since, limit }: { readonly ownStackId: string; readonly since: Date; readonly limit: number }): Promise<number> {
    let entered = 0;
    for (const { tenantId, runId, targetStackId, createdAt } of this.#forwards()) {
      const key = followKey({ tenantId, runId });
      if (entered === limit || createdAt < since || targetStackId === ownStackId || this.#entries.has(key)) continue;
      this.#entries.set(key, { tenantId, runId, targetStackId, failures: 0, token: null, dueAtMs: Date.now(), finished: false });
      entered += 1;
    }
    return entered;
  }

  async take({ limit, leaseMs }: { readonly limit: number; readonly leaseMs: number }): Promise<readonly FollowedRun[]> {
    const token = newId('lse');
    const now = Date.now();
    const due = [...this.#entries.values()].filter((entry) => !entry.finished && entry.dueAtMs <= now).sort((a, b) => a.dueAtMs - b.dueAtMs);
    return due.slice(0, limit).map((entry) => {
      Object.assign(entry, { token, dueAtMs: now + leaseMs });
      return { tenantId: entry.tenantId, runId: entry.runId, targetStackId: entry.targetStackId, failures: entry.failures, token };
    });
  }

  async renew(runs: readonly FollowedRun[], leaseMs: number): Promise<ReadonlySet<string>> {
    const held = runs.flatMap((run) => this.#held(run) ?? []);
    for (const entry of held) entry.dueAtMs = Date.now() + leaseMs;
    return new Set(held.map(followKey));
  }

  async giveBack(run: FollowedRun, { afterMs, failed }: { readonly afterMs: number; readonly failed: boolean }): Promise<void> {
    const entry = this.#held(run);
    if (entry !== null) Object.assign(entry, { token: null, dueAtMs: Date.now() + afterMs, failures: failed ? entry.failures + 1 : 0 });
  }

  async finish(run: FollowedRun): Promise<void> {
    const entry = this.#held(run);
    if (entry !== null) Object.assign(entry, { token: null, finished: true });
  }

  async open(): Promise<number> {
    return [...this.#entries.values()].filter((entry) => !entry.finished).length;
  }

  async forget(limit: number): Promise<number> {
    const known = new Set([...this.#forwards()].map(followKey));
    const gone = [...this.#entries.keys()].filter((key) => !known.has(key)).slice(0, limit);
    for (const key of gone) this.#entries.delete(key);
    return gone.length;
  }

  #held(run: FollowedRun): Entry | null {
    const entry = this.#entries.get(followKey(run));
    return entry !== undefined && entry.token === run.token && !entry.finished ? entry : null;
  }
}
