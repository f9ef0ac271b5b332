/**
 * Purging where everything lives in the process: the directory forgets the tenant first, so that nobody acts for it any
 * more, then each store what it has of it. The audit stays.
 */
import { auditRow } from '../audit/audit-row.ts';
import type { MemoryAudit } from '../audit/audit-memory.ts';
import type { MemoryDirectory } from './directory-memory.ts';
import type { PurgedTenant, TenantPurge } from './tenant-purge.ts';
import type { AuthContext } from './auth-context.ts';

/** As whom the platform itself acts. */
export const PURGER: AuthContext = { tenant_id: '', principal: { principal_id: 'agentos-purger', principal_type: 'service' }, scopes: [], roles: [] };

export interface ForgetfulStore {
  /** Answers how many things there were. */
  forgetTenant(tenantId: string): number;
}

export class MemoryTenantPurge implements TenantPurge {
  readonly #directory: MemoryDirectory;
  readonly #stores: Readonly<Record<string, ForgetfulStore>>;
  readonly #audit: Pick<MemoryAudit, 'add'> | null;

  /** @param stores every store of the process that has tenants' data, by what it holds */
  constructor(directory: MemoryDirectory, stores: Readonly<Record<string, ForgetfulStore>>, audit: Pick<MemoryAudit, 'add'> | null = null) {
    this.#directory = directory;
    this.#stores = stores;
    this.#audit = audit;
  }

  async run(): Promise<readonly PurgedTenant[]> {
    const purged: PurgedTenant[] = [];
    for (const tenantId of this.#directory.tenantsToPurge()) {
      await this.#directory.deleteTenant(PURGER, tenantId);
      const rows = Object.fromEntries(Object.entries(this.#stores).map(([what, store]) => [what, store.forgetTenant(tenantId)]));
      this.#audit?.add(auditRow('agent-orchestrator', PURGER, { action: 'tenant.purge', tenantId, resource: { type: 'tenant', id: tenantId }, details: { rows_deleted: rows } }));
      purged.push({ tenantId, rows });
    }
    return purged;
  }
}
