/** GET /v1/decisions: what was decided about the tenant's model calls, newest first. Reading them is recorded. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { recorded, type Recorder } from '../../platform/audit/recorded.ts';
import type { DecisionsPort } from '../ports/decisions.ts';
import { momentOf } from '../../platform/timestamp.ts';

const DEFAULT_LIMIT = 50;

export const listDecisions = (decisions: DecisionsPort, recorder: Recorder): ModelPolicyHandlers['listDecisions'] =>
  async ({ query, auth, context }) => {
    const { limit = DEFAULT_LIMIT, after, decision, model, from, to } = query;
    const facts = { action: 'decision.list', resource: { type: 'decision', id: '*' }, details: { filter: { decision, model, from, to } } };
    const page = await recorded(recorder, auth, facts, () => decisions.list(auth, {
      limit,
      ...(after === undefined ? {} : { after }),
      ...(decision === undefined ? {} : { decision }),
      ...(model === undefined ? {} : { model }),
      ...(from === undefined ? {} : { fromMs: Date.parse(momentOf(from, '/query/from')) }),
      ...(to === undefined ? {} : { toMs: Date.parse(momentOf(to, '/query/to')) }),
    }));
    return { status: 200, body: { decisions: [...page.decisions], has_more: page.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
