/** POST /v1/admin/canaries/{canary_name}:rollback: no call gets the canary any more, on any process, until its rule is another one. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { PLATFORM_TENANT } from '../../platform/audit/audit-row.ts';
import { recorded, type Recorder } from '../../platform/audit/recorded.ts';
import type { Canaries } from '../router/canaries.ts';
import { canaryToWire } from './routing-wire.ts';

export const rollBackCanary = (canaries: Canaries, recorder: Recorder): ModelPolicyHandlers['rollBackCanary'] =>
  async ({ path, auth, context }) => {
    const { principal_id: principal } = auth.principal;
    const facts = { action: 'canary.roll_back', tenantId: PLATFORM_TENANT, resource: { type: 'canary', id: path.canary_name } };
    const canary = await recorded(recorder, auth, facts, async () => {
      const rolledBack = await canaries.rollBack(path.canary_name, `by_hand ${principal}`);
      if (rolledBack === null) throw new AgentOsError('not_found', { message: `There is no canary ${path.canary_name}. GET /v1/admin/canaries lists them.`, details: { canary_name: path.canary_name } });
      return rolledBack;
    });
    context.log.info({ canary: path.canary_name }, 'A canary was rolled back by hand.');
    return { status: 200, body: { canary: canaryToWire(canary), correlation_id: context.correlationId } };
  };
