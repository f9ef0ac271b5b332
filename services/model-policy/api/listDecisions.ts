/** GET /v1/decisions: what was decided about the tenant's model calls, newest first. Reading them leaves an audit line. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { DecisionsPort } from '../ports/decisions.ts';

const DEFAULT_LIMIT = 50;

export const listDecisions = (decisions: DecisionsPort): ModelPolicyHandlers['listDecisions'] =>
  async ({ query, auth, context }) => {
    const { limit = DEFAULT_LIMIT, after, decision, model, from, to } = query;
    const page = await decisions.list(auth, {
      limit,
      ...(after === undefined ? {} : { after }),
      ...(decision === undefined ? {} : { decision }),
      ...(model === undefined ? {} : { model }),
      ...(from === undefined ? {} : { fromMs: Date.parse(from) }),
      ...(to === undefined ? {} : { toMs: Date.parse(to) }),
    });
    context.log.info({ audit: 'decision.list', tenant_id: auth.tenant_id, principal_id: auth.principal.principal_id, count: page.decisions.length, filter: { decision, model, from, to } }, 'Decisions were listed.');
    return { status: 200, body: { decisions: [...page.decisions], has_more: page.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
