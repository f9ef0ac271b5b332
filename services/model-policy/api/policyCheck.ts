/**
 * POST /v1/policy:check (Appendix E.3). The canonical form has `policy_check`; the flat form of earlier versions has
 * `action` and `resource`, whose every string is judged (C-12). A refusal is a 200.
 */
import type { PolicyCheck, PolicyResult } from '../../../generated/types/index.ts';
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Engine } from '../engine/engine.ts';
import { requireSameTenant } from './body-auth.ts';

interface FlatCheck {
  readonly action: string;
  readonly resource?: Readonly<Record<string, unknown>>;
  readonly context?: Readonly<Record<string, unknown>>;
}

export function policyCheck(engine: Engine): ModelPolicyHandlers['policyCheck'] {
  return async ({ body, auth, context }) => {
    const common = { correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id };
    if ('policy_check' in body) {
      requireSameTenant(auth, body.auth);
      return { status: 200, body: { policy_result: await engine.check(auth, body.policy_check), ...common } };
    }
    const result = await engine.check(auth, toCheck(body, context.requestId));
    return { status: 200, body: { policy_result: result, ...common, ...mirrors(result) } };
  };
}

/** One text of all that the caller says it is about to do, so that nothing in it goes unjudged. */
function toCheck(body: FlatCheck, requestId: string): PolicyCheck {
  const texts = [body.action, ...strings(body.resource ?? {}), ...strings(body.context ?? {})];
  return { request_id: requestId, content: { type: 'text', text: texts.join('\n') } };
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value === 'number') return [String(value)];
  if (Array.isArray(value)) return value.flatMap(strings);
  return typeof value === 'object' && value !== null ? Object.entries(value).flatMap(([key, member]) => [key, ...strings(member)]) : [];
}

function mirrors(result: PolicyResult) {
  return { decision: result.decision === 'blocked' ? ('deny' as const) : ('allow' as const), reasons: [...result.reasons], obligations: [] };
}
