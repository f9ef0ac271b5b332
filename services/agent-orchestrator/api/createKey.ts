/** POST /v1/keys: the secret is answered by this, and stored nowhere. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { issuedKeyAnswer } from './account-wire.ts';

export const createKey = (keys: Keys): AgentOrchestratorHandlers['createKey'] =>
  async ({ body, auth, context }) => {
    const issued = await keys.issue(auth, auth.tenant_id, body, context.idempotencyKey);
    return issuedKeyAnswer(issued, { correlation_id: context.correlationId, tenant_id: auth.tenant_id });
  };
