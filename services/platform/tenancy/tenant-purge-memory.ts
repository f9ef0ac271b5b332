/**
 * Purging where everything lives in the process. The directory forgets the tenant; what other stores still hold nobody
 * can reach any more, since its id is never given again, and it goes with the process.
 */
import { auditRow } from '../audit/audit-row.ts';
import type { MemoryAudit } from '../audit/audit-memory.ts';
import type { MemoryDirectory } from './directory-memory.ts';
import type { PurgedTenant, TenantPurge } from './tenant-purge.ts';
import type { AuthContext } from './auth-context.ts';

/** As whom the platform itself acts. */
export const PURGER: AuthContext = { tenant_id: '', principal: { principal_id: 'agentos-purger', principal_type: 'service' }, scopes: [], roles: [] };

export class MemoryTenantPurge implements TenantPurge {
  readonly #directory: MemoryDirectory;
  readonly #audit: Pick<MemoryAudit, 'add'> | null;

  constructor(directory: MemoryDirectory, audit: Pick<MemoryAudit, 'add'> | null = null) {
    this.#directory = directory;
    this.#audit = audit;
  }

  async run(): Promise<readonly PurgedTenant[]> {
    const due = this.#directory.tenantsToPurge();
    for (const tenantId of due) {
      await this.#directory.deleteTenant(PURGER, tenantId);
      this.#audit?.add(auditRow('agent-orchestrator', PURGER, { action: 'tenant.purge', tenantId, resource: { type: 'tenant', id: tenantId } }));
    }
    return due.map((tenantId) => ({ tenantId, rows: {} }));
  }
}
