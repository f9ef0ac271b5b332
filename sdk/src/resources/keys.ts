import type { ApiKey, ApiKeyAnswer, ApiKeyRotateRequest, ApiKeyWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

export interface KeyQuery {
  /** Only keys of this principal. */
  readonly principalId?: string;
  readonly limit?: number;
}

/** API keys of the caller's tenant (PRS 10.1); needs the scopes `keys:read` and `keys:write`. */
export class Keys {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The oldest first; never what gives access. */
  list(query: KeyQuery = {}, options: RequestOptions = {}): PagePromise<ApiKey> {
    return new PagePromise<ApiKey>(async (after) => {
      const params = { query: keyQuery(query, after?.key_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/keys', { ...init, params }));
      return { items: list.keys as ApiKey[], hasMore: list.has_more };
    });
  }

  /** The answer holds `secret`, this once; a repeat by idempotency key does not. */
  create(key: ApiKeyWrite, options: RequestOptions = {}): ApiPromise<ApiKeyAnswer> {
    return this.#session.call('mutation', options, async (init) => whole<ApiKeyAnswer>(await this.#session.orchestrator.POST('/v1/keys', { ...init, body: key })));
  }

  /** A new key with its `secret`, this once; the old one stays good for `overlap_seconds`. @throws ConflictError when it is no longer good. */
  rotate(keyId: string, request: ApiKeyRotateRequest = {}, options: RequestOptions = {}): ApiPromise<ApiKeyAnswer> {
    return this.#session.call('mutation', options, async (init) =>
      whole<ApiKeyAnswer>(await this.#session.orchestrator.POST('/v1/keys/{key_id}:rotate', { ...init, params: { path: { key_id: keyId } }, body: request })),
    );
  }

  /** Refused everywhere within a second. */
  revoke(keyId: string, options: RequestOptions = {}): ApiPromise<ApiKey> {
    return this.#session.call('mutation', options, async (init) =>
      member<ApiKey>(await this.#session.orchestrator.DELETE('/v1/keys/{key_id}', { ...init, params: { path: { key_id: keyId } } }), 'key'),
    );
  }
}

/** As the wire names it. */
export function keyQuery({ principalId, limit }: KeyQuery, after: string | undefined): { principal_id?: string; limit?: number; after?: string } {
  return pageQuery({ ...(principalId !== undefined && { principal_id: principalId }), ...(limit !== undefined && { limit }) }, after);
}
