import type { PrincipalDeleted, PrincipalRecord, PrincipalWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** The principals of any tenant; needs the scope `tenants:admin`. */
export class TenantPrincipals {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** In order of their ids. */
  list(tenantId: string, query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<PrincipalRecord> {
    return new PagePromise<PrincipalRecord>(async (after) => {
      const params = { path: { tenant_id: tenantId }, query: pageQuery(query, after?.principal_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/admin/tenants/{tenant_id}/principals', { ...init, params }));
      return { items: list.principals as PrincipalRecord[], hasMore: list.has_more };
    });
  }

  get(tenantId: string, principalId: string, options: RequestOptions = {}): ApiPromise<PrincipalRecord> {
    return this.#session.call('read', options, async (init) =>
      member<PrincipalRecord>(await this.#session.orchestrator.GET('/v1/admin/tenants/{tenant_id}/principals/{principal_id}', { ...init, params: { path: { tenant_id: tenantId, principal_id: principalId } } }), 'principal'),
    );
  }

  /** Creates or replaces. Its keys lose what its roles no longer hold. @throws PermissionDeniedError for roles beyond the caller's own. */
  put(tenantId: string, principalId: string, principal: PrincipalWrite, options: RequestOptions = {}): ApiPromise<PrincipalRecord> {
    return this.#session.call('mutation', options, async (init) =>
      member<PrincipalRecord>(await this.#session.orchestrator.PUT('/v1/admin/tenants/{tenant_id}/principals/{principal_id}', { ...init, params: { path: { tenant_id: tenantId, principal_id: principalId } }, body: principal }), 'principal'),
    );
  }

  /** Its keys are revoked with it. */
  delete(tenantId: string, principalId: string, options: RequestOptions = {}): ApiPromise<PrincipalDeleted> {
    return this.#session.call('mutation', options, async (init) =>
      whole<PrincipalDeleted>(await this.#session.orchestrator.DELETE('/v1/admin/tenants/{tenant_id}/principals/{principal_id}', { ...init, params: { path: { tenant_id: tenantId, principal_id: principalId } } })),
    );
  }
}
