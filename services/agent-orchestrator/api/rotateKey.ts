/** POST /v1/keys/{key_id}:rotate: a new key, and the old one good for a while longer. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { issuedKeyAnswer } from './account-wire.ts';

export const rotateKey = (keys: Keys): AgentOrchestratorHandlers['rotateKey'] =>
  async ({ path, body, auth, context }) => {
    const issued = await keys.rotate(auth, auth.tenant_id, path.key_id, body?.overlap_seconds, context.idempotencyKey);
    return issuedKeyAnswer(issued, { correlation_id: context.correlationId, tenant_id: auth.tenant_id });
  };
