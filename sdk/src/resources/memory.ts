import type { MemoryItem, MemoryItemWrite, MemoryNamespace, MemorySearchAnswer, MemorySearchRequest, MemoryUsageAnswer } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** What agents and their callers remember, by namespace and key (PRS 5.2). */
export class Memory {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Writes or replaces, whole. @throws PermissionDeniedError `quota_exceeded` when memory is full. */
  put(namespace: string, key: string, item: MemoryItemWrite, options: RequestOptions = {}): ApiPromise<MemoryItem> {
    return this.#session.call('mutation', options, async (init) =>
      member<MemoryItem>(await this.#session.orchestrator.PUT('/v1/memory/{namespace}/items/{key}', { ...init, params: { path: { namespace, key } }, body: item }), 'item'),
    );
  }

  get(namespace: string, key: string, options: RequestOptions = {}): ApiPromise<MemoryItem> {
    return this.#session.call('read', options, async (init) =>
      member<MemoryItem>(await this.#session.orchestrator.GET('/v1/memory/{namespace}/items/{key}', { ...init, params: { path: { namespace, key } } }), 'item'),
    );
  }

  delete(namespace: string, key: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) => this.#session.orchestrator.DELETE('/v1/memory/{namespace}/items/{key}', { ...init, params: { path: { namespace, key } } }));
  }

  /** In order of key. */
  list(namespace: string, query: { readonly prefix?: string; readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<MemoryItem> {
    return new PagePromise<MemoryItem>(async (after) => {
      const params = { path: { namespace }, query: pageQuery(query, after?.key) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/memory/{namespace}/items', { ...init, params }));
      return { items: list.items as MemoryItem[], hasMore: list.has_more };
    });
  }

  namespaces(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<MemoryNamespace> {
    return new PagePromise<MemoryNamespace>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/memory', { ...init, params: { query: pageQuery(query, after?.namespace) } }));
      return { items: list.namespaces as MemoryNamespace[], hasMore: list.has_more };
    });
  }

  /** A string is shorthand for `{ query: … }`. */
  search(namespace: string, request: MemorySearchRequest | string, options: RequestOptions = {}): ApiPromise<MemorySearchAnswer> {
    const body: MemorySearchRequest = typeof request === 'string' ? { query: request } : request;
    return this.#session.call('mutation', options, async (init) =>
      whole<MemorySearchAnswer>(await this.#session.orchestrator.POST('/v1/memory/{namespace}:search', { ...init, params: { path: { namespace } }, body })),
    );
  }

  usage(options: RequestOptions = {}): ApiPromise<MemoryUsageAnswer> {
    return this.#session.call('read', options, async (init) => whole<MemoryUsageAnswer>(await this.#session.orchestrator.GET('/v1/memory:usage', init)));
  }
}
