/** GET /v1/principals/{principal_id}: of the caller's tenant. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import { principalToWire } from './account-wire.ts';

export const getPrincipal = (principals: Principals): AgentOrchestratorHandlers['getPrincipal'] =>
  async ({ path, auth, context }) => ({ status: 200, body: { principal: principalToWire(await principals.get(auth, auth.tenant_id, path.principal_id)), correlation_id: context.correlationId, tenant_id: auth.tenant_id } });
