/** A call's answer in one piece: judged, settled, and with its whole account (PRS 6.2). */
import type { ModelResponse } from '../../../generated/types/index.ts';
import { guarded } from '../policy/guard.ts';
import { costUsd } from '../router/candidates.ts';
import type { CatalogueModel } from '../router/catalogue.ts';
import { askBackends } from './attempts.ts';
import type { GovernedCall } from './govern.ts';
import { refuseBlocked, wireVerdict } from './policy-gate.ts';
import { callBackend, judgeBackendAnswer, toOutput, type BackendAnswer } from './work.ts';

/** @param charged to be called when the answer is sure to be given, and awaited before it is */
export async function answerWhole(call: GovernedCall, charged: () => Promise<void>): Promise<ModelResponse> {
  const { parts, judgement, auth, work, request, options } = call;
  const served = await askBackends(call, (model, maxOutputTokens) => callBackend(auth, model, work, request.generation ?? {}, maxOutputTokens, options), (_model, attempt) => parts.observer.attempted(attempt));
  const { inputTokens, outputTokens, estimated } = served.answer.usage;
  noteUsage(call, served.model, { inputTokens, outputTokens, estimated: estimated === true });
  // What the backend used is charged whatever the guard makes of it.
  const settled = served.hold.settle({ inputTokens, outputTokens, estimated: estimated === true, fallbackUsed: served.fallbackUsed });
  const answer = guarded(judgement, served.answer, judgeBackendAnswer, parts.observer.guardFailed);
  call.record.verdict = judgement.verdict();
  await Promise.all(judgement.isBlocked ? [settled] : [settled, charged(), parts.traces.keep(call.record, 'ok')]);
  refuseBlocked(parts, judgement);
  return toResponse(call, served.model, served.fallbackUsed, answer);
}

export function noteUsage({ record }: GovernedCall, model: CatalogueModel, usage: { readonly inputTokens: number; readonly outputTokens: number; readonly estimated: boolean }): void {
  record.usage = usage;
  record.costUsd = costUsd(model, usage.inputTokens, usage.outputTokens);
}

/** Ends the call's record. */
export function toResponse(call: GovernedCall, model: CatalogueModel, fallbackUsed: boolean, answer: BackendAnswer): ModelResponse {
  const { parts, record, judgement, work, request } = call;
  const { inputTokens, outputTokens, estimated } = answer.usage;
  record.verdict = judgement.verdict();
  record.finishReason = 'message' in answer ? answer.finishReason : null;
  parts.observer.judged(record.verdict);
  parts.observer.finished(record.end('ok'));
  return {
    request_id: request.request_id,
    status: 'ok',
    output: toOutput(work, answer),
    usage: { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: inputTokens + outputTokens, cost_usd: record.costUsd, estimated: estimated === true },
    latency_ms: Math.round(record.totalMs),
    policy_outcome: wireVerdict(record.verdict),
    route: { backend: model.backend, model: model.backendModel, node: model.provider.node, fallback_used: fallbackUsed },
  };
}
