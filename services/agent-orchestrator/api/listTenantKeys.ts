/** GET /v1/admin/tenants/{tenant_id}/keys: of any tenant, the oldest first; never what gives access. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { keyToWire } from './account-wire.ts';

export const listTenantKeys = (keys: Keys): AgentOrchestratorHandlers['listTenantKeys'] =>
  async ({ path, query, auth, context }) => {
    const found = await keys.list(auth, path.tenant_id, { limit: query.limit, after: query.after, principalId: query.principal_id });
    return { status: 200, body: { keys: found.keys.map(keyToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: path.tenant_id } };
  };
