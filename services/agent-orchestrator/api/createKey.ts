/** POST /v1/keys: the secret is answered this once. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import { issuedKeyToWire } from './account-wire.ts';

export const createKey = (keys: Keys): AgentOrchestratorHandlers['createKey'] =>
  async ({ body, auth, context }) => {
    const issued = await keys.issue(auth, auth.tenant_id, body, context.idempotencyKey);
    const answer = { ...issuedKeyToWire(issued), correlation_id: context.correlationId, tenant_id: auth.tenant_id };
    return issued.secret === null ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
