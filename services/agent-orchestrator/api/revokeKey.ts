/** DELETE /v1/keys/{key_id}: refused everywhere within a second. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { keyToWire } from './account-wire.ts';

export const revokeKey = (keys: Keys): AgentOrchestratorHandlers['revokeKey'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { key: keyToWire(await keys.revoke(auth, auth.tenant_id, path.key_id)), correlation_id: context.correlationId, tenant_id: auth.tenant_id } });
