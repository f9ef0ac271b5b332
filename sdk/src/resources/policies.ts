import type { Policy, PolicyWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** Rule sets that model calls of the tenant are held to (PRS 6). */
export class Policies {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The tenant's own, and those of the node that it does not override. */
  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Policy> {
    return new PagePromise<Policy>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.modelPolicy.GET('/v1/policies', { ...init, params: { query: pageQuery(query, after?.policy_id) } }));
      return { items: list.policies as Policy[], hasMore: list.has_more };
    });
  }

  get(policyId: string, options: RequestOptions = {}): ApiPromise<Policy> {
    return this.#session.call('read', options, async (init) =>
      member<Policy>(await this.#session.modelPolicy.GET('/v1/policies/{policy_id}', { ...init, params: { path: { policy_id: policyId } } }), 'policy'),
    );
  }

  /** Creates or replaces. With `version` only that version is replaced. @throws ConflictError when another one is stored. */
  put(policyId: string, policy: PolicyWrite, options: RequestOptions = {}): ApiPromise<Policy> {
    return this.#session.call('mutation', options, async (init) =>
      member<Policy>(await this.#session.modelPolicy.PUT('/v1/policies/{policy_id}', { ...init, params: { path: { policy_id: policyId } }, body: policy }), 'policy'),
    );
  }

  delete(policyId: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) => this.#session.modelPolicy.DELETE('/v1/policies/{policy_id}', { ...init, params: { path: { policy_id: policyId } } }));
  }
}
