/** DELETE /v1/admin/tenants/{tenant_id}/keys/{key_id}: refused everywhere within a second. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { keyToWire } from './account-wire.ts';

export const revokeTenantKey = (keys: Keys): AgentOrchestratorHandlers['revokeTenantKey'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { key: keyToWire(await keys.revoke(auth, path.tenant_id, path.key_id)), correlation_id: context.correlationId, tenant_id: path.tenant_id } });
