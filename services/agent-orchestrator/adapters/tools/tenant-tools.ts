/**
 * What a tenant has registered, remembered for less than a second: each step of a run asks for the tools of its tenant,
 * and a change shows that much later.
 */
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import { ShortMemory } from '../../../platform/tenancy/short-memory.ts';
import type { ToolRegistrations, ToolRegistryPort } from '../../ports/tool-registry.ts';

export class TenantTools {
  readonly registry: ToolRegistryPort;
  readonly #recent: ShortMemory<ToolRegistrations>;

  constructor(registry: ToolRegistryPort) {
    this.registry = registry;
    this.#recent = new ShortMemory((tenantId) => registry.load(readingAs(tenantId)));
  }

  get(auth: AuthContext): Promise<ToolRegistrations> {
    return this.#recent.get(auth.tenant_id);
  }

  /** The next reader sees what was just written here. */
  forget(auth: AuthContext): void {
    this.#recent.forget(auth.tenant_id);
  }
}

/** The tenant's registrations are the same for all of its principals. */
const readingAs = (tenantId: string): AuthContext => ({ tenant_id: tenantId, principal: { principal_id: 'svc_agent-orchestrator', principal_type: 'service' }, scopes: [] });
