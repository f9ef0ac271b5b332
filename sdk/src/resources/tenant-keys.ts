import type { ApiKey, ApiKeyAnswer, ApiKeyRotateRequest, ApiKeyWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';
import { keyQuery, type KeyQuery } from './keys.ts';

/** The API keys of any tenant; needs the scope `tenants:admin`. */
export class TenantKeys {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The oldest first; never what gives access. */
  list(tenantId: string, query: KeyQuery = {}, options: RequestOptions = {}): PagePromise<ApiKey> {
    return new PagePromise<ApiKey>(async (after) => {
      const params = { path: { tenant_id: tenantId }, query: keyQuery(query, after?.key_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/admin/tenants/{tenant_id}/keys', { ...init, params }));
      return { items: list.keys as ApiKey[], hasMore: list.has_more };
    });
  }

  /** The answer holds `secret`, this once; a repeat by idempotency key does not. */
  create(tenantId: string, key: ApiKeyWrite, options: RequestOptions = {}): ApiPromise<ApiKeyAnswer> {
    return this.#session.call('mutation', options, async (init) => whole<ApiKeyAnswer>(await this.#session.orchestrator.POST('/v1/admin/tenants/{tenant_id}/keys', { ...init, params: { path: { tenant_id: tenantId } }, body: key })));
  }

  /** A new key with its `secret`, this once; the old one stays good for `overlap_seconds`. @throws ConflictError when it is no longer good. */
  rotate(tenantId: string, keyId: string, request: ApiKeyRotateRequest = {}, options: RequestOptions = {}): ApiPromise<ApiKeyAnswer> {
    return this.#session.call('mutation', options, async (init) =>
      whole<ApiKeyAnswer>(await this.#session.orchestrator.POST('/v1/admin/tenants/{tenant_id}/keys/{key_id}:rotate', { ...init, params: { path: { tenant_id: tenantId, key_id: keyId } }, body: request })),
    );
  }

  /** Refused everywhere within a second. */
  revoke(tenantId: string, keyId: string, options: RequestOptions = {}): ApiPromise<ApiKey> {
    return this.#session.call('mutation', options, async (init) =>
      member<ApiKey>(await this.#session.orchestrator.DELETE('/v1/admin/tenants/{tenant_id}/keys/{key_id}', { ...init, params: { path: { tenant_id: tenantId, key_id: keyId } } }), 'key'),
    );
  }
}
