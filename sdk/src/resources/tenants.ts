import type { Tenant, TenantCreate, TenantDeleted, TenantPatch } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';
import { TenantKeys } from './tenant-keys.ts';
import { TenantPrincipals } from './tenant-principals.ts';

/** Tenant administration (PRS 15.4, Appendix C); needs the scope `tenants:admin`. */
export class Tenants {
  readonly principals: TenantPrincipals;
  readonly keys: TenantKeys;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.principals = new TenantPrincipals(session);
    this.keys = new TenantKeys(session);
  }

  create(tenant: TenantCreate, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/admin/tenants', { ...init, body: { tenant_create: tenant } as never })),
    );
  }

  get(tenantId: string, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('read', options, async (init) =>
      unwrap(await this.#session.orchestrator.GET('/v1/admin/tenants/{tenant_id}', { ...init, params: { path: { tenant_id: tenantId } } })),
    );
  }

  /** Changes the members that are named and leaves the others. */
  update(tenantId: string, patch: TenantPatch, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.PATCH('/v1/admin/tenants/{tenant_id}', { ...init, params: { path: { tenant_id: tenantId } }, body: patch })),
    );
  }

  /** Refuses its calls from now on, and loses nothing of it. `reason` stands in the audit trail. */
  suspend(tenantId: string, reason?: string, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/admin/tenants/{tenant_id}:suspend', { ...init, params: { path: { tenant_id: tenantId } }, body: reason === undefined ? {} : { reason } })),
    );
  }

  resume(tenantId: string, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/admin/tenants/{tenant_id}:resume', { ...init, params: { path: { tenant_id: tenantId } } })),
    );
  }

  /**
   * Refuses its calls from now on; its data is deleted when the grace period is over. `confirm` is its id once more,
   * `graceHours` takes the place of the node's.
   */
  delete(tenantId: string, { confirm, graceHours }: { readonly confirm: string; readonly graceHours?: number }, options: RequestOptions = {}): ApiPromise<TenantDeleted> {
    return this.#session.call('mutation', options, (init) =>
      this.#session.orchestrator.DELETE('/v1/admin/tenants/{tenant_id}', { ...init, params: { path: { tenant_id: tenantId }, query: { confirm, ...(graceHours === undefined ? {} : { grace_hours: graceHours }) } } }),
    );
  }

  /** Takes back a deletion whose grace period is not over. */
  restore(tenantId: string, options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/admin/tenants/{tenant_id}:restore', { ...init, params: { path: { tenant_id: tenantId } } })),
    );
  }

  /** The caller's own, with the quotas that hold for it; needs the scope `tenant:read` alone. */
  own(options: RequestOptions = {}): ApiPromise<Tenant> {
    return this.#session.call('read', options, async (init) => unwrap(await this.#session.orchestrator.GET('/v1/tenant', init)));
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Tenant> {
    return new PagePromise<Tenant>(async (after) => {
      const page = { ...(query.limit && { limit: query.limit }), ...(after && { after: after.tenant_id }) };
      const list = await this.#session.call('read', options, (init) =>
        this.#session.orchestrator.GET('/v1/admin/tenants', { ...init, params: { query: page } }),
      );
      return { items: list.tenants as Tenant[], hasMore: list.has_more ?? false };
    });
  }
}

function unwrap(answer: { data?: { tenant: unknown } | undefined; error?: unknown; response: Response }): { data?: Tenant | undefined; error?: unknown; response: Response } {
  return { data: answer.data?.tenant as Tenant | undefined, error: answer.error, response: answer.response };
}
