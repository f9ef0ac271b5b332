import type { ModelDecision } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

export interface DecisionQuery {
  readonly decision?: 'allowed' | 'blocked' | 'redacted';
  readonly model?: string;
  /** RFC 3339, inclusive. */
  readonly from?: string;
  /** RFC 3339, exclusive. */
  readonly to?: string;
  readonly limit?: number;
}

/** What was decided about model calls, and why; never what was said. */
export class Decisions {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Newest first. */
  list(query: DecisionQuery = {}, options: RequestOptions = {}): PagePromise<ModelDecision> {
    return new PagePromise<ModelDecision>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.modelPolicy.GET('/v1/decisions', { ...init, params: { query: pageQuery(query, after?.decision_id) } }));
      return { items: list.decisions as ModelDecision[], hasMore: list.has_more };
    });
  }

  /** By the `request_id` of the call. */
  get(requestId: string, options: RequestOptions = {}): ApiPromise<ModelDecision> {
    return this.#session.call('read', options, async (init) =>
      member<ModelDecision>(await this.#session.modelPolicy.GET('/v1/decisions/{request_id}', { ...init, params: { path: { request_id: requestId } } }), 'decision'),
    );
  }
}
