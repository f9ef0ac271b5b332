/** Policy as the engine applies it: which rules hold for a tenant, and what a refusal looks like. */
import type { PolicyCheck, PolicyOutcome, PolicyResult, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { Judgement, type Caller, type PolicyVerdict } from '../policy/evaluate.ts';
import { guarded } from '../policy/guard.ts';
import type { PolicyRuleSet } from '../ports/policy-rules.ts';
import type { EngineParts } from './engine.ts';

/** The tenant's rule set. One that is named and missing blocks every call, in place of falling back to weaker rules. */
export async function rulesOf(parts: EngineParts, auth: AuthContext, tenant: Tenant): Promise<PolicyRuleSet> {
  const policyId = tenant.default_policy_id ?? null;
  try {
    return await parts.rules.get(auth, policyId);
  } catch (error) {
    if (!(error instanceof AgentOsError) || error.code !== 'not_found') throw error;
    const verdict: PolicyVerdict = { decision: 'blocked', reasons: ['rule_set_missing'], redactions: [] };
    parts.observer.judged(verdict);
    throw blocked(verdict, `The tenant's rule set ${policyId} does not exist, so nothing may pass. Create it or set default_policy_id to another one.`);
  }
}

/** What rules look at beside the content. */
export function callerOf(tenant: Tenant, auth: AuthContext): Caller {
  return { toolsEntitled: tenant.entitlements?.tool_ids_allowed ?? null, context: auth.policy_context ?? {} };
}

/** @throws AgentOsError policy_blocked. */
export function refuseBlocked(parts: EngineParts, judgement: Judgement): void {
  if (!judgement.isBlocked) return;
  const verdict = judgement.verdict();
  parts.observer.judged(verdict);
  throw blocked(verdict, `Policy refused the call: ${verdict.reasons.join(', ')}.`);
}

export async function checkContent(parts: EngineParts, auth: AuthContext, check: PolicyCheck): Promise<PolicyResult> {
  const tenant = await requireActiveTenant(parts.directory, auth);
  const rules = check.ruleset === undefined ? await rulesOf(parts, auth, tenant) : await parts.rules.get(auth, check.ruleset);
  const judgement = new Judgement(rules, callerOf(tenant, auth));
  guarded(judgement, check.content.text, (judge, text) => judge.text(text, '/content/text'), parts.observer.guardFailed);
  const verdict = judgement.verdict();
  parts.observer.judged(verdict);
  return { request_id: check.request_id ?? newId('req'), ...wireVerdict(verdict) };
}

export function wireVerdict(verdict: PolicyVerdict): PolicyOutcome {
  return { decision: verdict.decision, reasons: [...verdict.reasons], redactions: verdict.redactions.map((each) => ({ ...each })) };
}

function blocked(verdict: PolicyVerdict, message: string): AgentOsError {
  return new AgentOsError('policy_blocked', { message, details: { reason: verdict.reasons[0], reasons: verdict.reasons, policy_outcome: wireVerdict(verdict) } });
}
