/** POST /v1/admin/tenants/{tenant_id}/keys: the secret is answered by this, and stored nowhere. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { issuedKeyAnswer } from './account-wire.ts';

export const createTenantKey = (keys: Keys): AgentOrchestratorHandlers['createTenantKey'] =>
  async ({ path, body, auth, context }) => {
    const issued = await keys.issue(auth, path.tenant_id, body, context.idempotencyKey);
    return issuedKeyAnswer(issued, { correlation_id: context.correlationId, tenant_id: path.tenant_id });
  };
