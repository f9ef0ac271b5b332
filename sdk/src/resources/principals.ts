import type { PrincipalDeleted, PrincipalRecord, PrincipalWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** Who may act in the caller's tenant, and in which roles (PRS 10.1); needs the scopes `principals:read` and `principals:write`. */
export class Principals {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** In order of their ids. */
  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<PrincipalRecord> {
    return new PagePromise<PrincipalRecord>(async (after) => {
      const params = { query: pageQuery(query, after?.principal_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/principals', { ...init, params }));
      return { items: list.principals as PrincipalRecord[], hasMore: list.has_more };
    });
  }

  get(principalId: string, options: RequestOptions = {}): ApiPromise<PrincipalRecord> {
    return this.#session.call('read', options, async (init) =>
      member<PrincipalRecord>(await this.#session.orchestrator.GET('/v1/principals/{principal_id}', { ...init, params: { path: { principal_id: principalId } } }), 'principal'),
    );
  }

  /** Creates or replaces. Its keys lose what its roles no longer hold. @throws PermissionDeniedError for roles beyond the caller's own. */
  put(principalId: string, principal: PrincipalWrite, options: RequestOptions = {}): ApiPromise<PrincipalRecord> {
    return this.#session.call('mutation', options, async (init) =>
      member<PrincipalRecord>(await this.#session.orchestrator.PUT('/v1/principals/{principal_id}', { ...init, params: { path: { principal_id: principalId } }, body: principal }), 'principal'),
    );
  }

  /** Its keys are revoked with it. */
  delete(principalId: string, options: RequestOptions = {}): ApiPromise<PrincipalDeleted> {
    return this.#session.call('mutation', options, async (init) =>
      whole<PrincipalDeleted>(await this.#session.orchestrator.DELETE('/v1/principals/{principal_id}', { ...init, params: { path: { principal_id: principalId } } })),
    );
  }
}
