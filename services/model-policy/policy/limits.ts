/**
 * `quotas.models.max_tokens_per_request` (Appendix C.2) and the rule `max_tokens`: tokens of one call, input and output
 * together; the smaller of the two holds.
 *
 * Input alone above the limit is blocked, since nothing can be cut from it without changing what was asked. What is
 * left after the input bounds the answer; an answer allowance that had to be lowered is named in the reasons, so that
 * a short answer explains itself.
 */
import type { Tenant } from '../../../generated/types/index.ts';
import type { Judgement } from './evaluate.ts';

/** The answer's allowance in tokens, null for the model's own. */
export function limitTokens(judgement: Judgement, tenant: Tenant, inputTokens: number, requested: number | null): number | null {
  const quota = tenant.quotas?.models?.max_tokens_per_request;
  const rule = judgement.maxTokens;
  const limit = Math.min(quota ?? Number.POSITIVE_INFINITY, rule?.max ?? Number.POSITIVE_INFINITY);
  if (limit === Number.POSITIVE_INFINITY) return requested;
  const ruleId = rule?.max === limit ? rule.ruleId : null;
  const left = limit - inputTokens;
  if (left <= 0) {
    judgement.block('max_tokens_per_request_exceeded', ruleId);
    return requested;
  }
  if (requested === null || requested <= left) return requested === null ? left : requested;
  judgement.note('max_output_tokens_lowered', ruleId);
  return left;
}
