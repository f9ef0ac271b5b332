import type { UsageEntry, UsageReport } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

export interface UsageQuery {
  /** First day, UTC, `YYYY-MM-DD`. */
  readonly from?: string;
  /** Last day, UTC, `YYYY-MM-DD`. */
  readonly to?: string;
  readonly model?: string;
  readonly agentId?: string;
}

export interface UsageEntryQuery extends UsageQuery {
  readonly runId?: string;
  readonly limit?: number;
}

/** What the tenant has spent on models, and its budgets. */
export class Usage {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get(query: UsageQuery = {}, options: RequestOptions = {}): ApiPromise<UsageReport> {
    return this.#session.call('read', options, async (init) =>
      whole<UsageReport>(await this.#session.modelPolicy.GET('/v1/usage', { ...init, params: { query: wireQuery(query, undefined) } })),
    );
  }

  /** The ledger, newest first. */
  entries(query: UsageEntryQuery = {}, options: RequestOptions = {}): PagePromise<UsageEntry> {
    return new PagePromise<UsageEntry>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.modelPolicy.GET('/v1/usage/entries', { ...init, params: { query: wireQuery(query, after?.entry_id) } }));
      return { items: list.entries as UsageEntry[], hasMore: list.has_more };
    });
  }
}

function wireQuery({ from, to, model, agentId, runId, limit }: UsageEntryQuery, after: string | undefined) {
  return pageQuery({ from, to, model, agent_id: agentId, run_id: runId, limit }, after) as { from?: string; to?: string; model?: string; agent_id?: string; run_id?: string; limit?: number; after?: string };
}
