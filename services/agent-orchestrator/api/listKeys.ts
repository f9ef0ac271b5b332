/** GET /v1/keys: of the caller's tenant, the oldest first; never what gives access. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { keyToWire } from './account-wire.ts';

export const listKeys = (keys: Keys): AgentOrchestratorHandlers['listKeys'] =>
  async ({ query, auth, context }) => {
    const found = await keys.list(auth, auth.tenant_id, { limit: query.limit, after: query.after, principalId: query.principal_id });
    return { status: 200, body: { keys: found.keys.map(keyToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
