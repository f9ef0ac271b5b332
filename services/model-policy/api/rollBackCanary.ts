/** POST /v1/admin/canaries/{canary_name}:rollback: no call gets the canary any more, on any process, until its rule is another one. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { Canaries } from '../router/canaries.ts';
import { canaryToWire } from './routing-wire.ts';

export const rollBackCanary = (canaries: Canaries): ModelPolicyHandlers['rollBackCanary'] =>
  async ({ path, auth, context }) => {
    const { principal_id: principal } = auth.principal;
    const canary = await canaries.rollBack(path.canary_name, `by_hand ${principal}`);
    if (canary === null) throw new AgentOsError('not_found', { message: `There is no canary ${path.canary_name}. GET /v1/admin/canaries lists them.`, details: { canary_name: path.canary_name } });
    context.log.info({ audit: 'canary.roll_back', principal_id: principal, canary: path.canary_name }, 'A canary was rolled back by hand.');
    return { status: 200, body: { canary: canaryToWire(canary), correlation_id: context.correlationId } };
  };
