/** Counters and the log line of PRS 9.2, Stack B, for each model call. Labels never hold a tenant, and neither of them content. */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import { RULE_REASON } from '../policy/evaluate.ts';
import type { CallRecord } from './call-record.ts';
import type { EngineObserver } from './observer.ts';

const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

export function createMetricsObserver(registry: Registry, log: Logger): EngineObserver {
  const registers = [registry];
  const requests = new Counter({ name: 'agentos_model_request_count', help: 'Model calls, by what became of them.', labelNames: ['operation', 'backend', 'model', 'outcome'] as const, registers });
  const latency = new Histogram({ name: 'agentos_model_request_latency_ms', help: 'Milliseconds from accepting a model call to its answer.', labelNames: ['operation', 'backend'] as const, buckets: LATENCY_BUCKETS_MS, registers });
  const firstByte = new Histogram({ name: 'agentos_model_first_byte_ms', help: 'Milliseconds from accepting a streamed model call to the first piece of its answer.', labelNames: ['operation', 'backend'] as const, buckets: LATENCY_BUCKETS_MS, registers });
  const tokens = new Counter({ name: 'agentos_token_usage', help: 'Tokens of model calls.', labelNames: ['backend', 'model', 'direction'] as const, registers });
  const cost = new Counter({ name: 'agentos_cost_estimate_usd', help: 'US dollars of model calls with a known price.', labelNames: ['backend', 'model'] as const, registers });
  const attempts = new Counter({ name: 'agentos_route_distribution', help: 'Attempts at backends; outcome is ok or the error code.', labelNames: ['backend', 'model', 'outcome'] as const, registers });
  const blocks = new Counter({ name: 'agentos_policy_block_count', help: 'Calls and checks that policy refused, by reason.', labelNames: ['reason'] as const, registers });
  const redactions = new Counter({ name: 'agentos_redaction_count', help: 'Pieces of text that policy took out, by kind.', labelNames: ['kind'] as const, registers });
  // Looking a labelled child up costs a sort and a join each time; the handful that exist are kept.
  const attemptOf = remembered((backend, model, outcome) => attempts.labels({ backend, model, outcome }));
  const callOf = remembered((operation, backend, model, outcome) => ({
    count: requests.labels({ operation, backend, model, outcome }), latency: latency.labels({ operation, backend }),
    firstByte: firstByte.labels({ operation, backend }),
    input: tokens.labels({ backend, model, direction: 'input' }), output: tokens.labels({ backend, model, direction: 'output' }),
  }));
  return {
    attempted: ({ backend, model, error }) => attemptOf(backend, model, error ?? 'ok').inc(),
    finished(call) {
      const { operation } = call.facts;
      const [backend, model] = call.served === null ? ['', ''] : [call.served.backend, call.served.modelId];
      const { inputTokens, outputTokens } = call.usage ?? { inputTokens: 0, outputTokens: 0 };
      const counters = callOf(operation, backend, model, call.outcome);
      counters.count.inc();
      counters.latency.observe(call.totalMs);
      if (call.firstByteMs !== null) counters.firstByte.observe(call.firstByteMs);
      if (inputTokens > 0) counters.input.inc(inputTokens);
      if (outputTokens > 0) counters.output.inc(outputTokens);
      if (call.costUsd !== null && call.costUsd > 0) cost.inc({ backend, model }, call.costUsd);
      writeLine(log, call);
    },
    judged(verdict) {
      if (verdict.decision === 'allowed') return;
      // Names of rules are the tenant's own words.
      if (verdict.decision === 'blocked') for (const reason of verdict.reasons) if (!reason.startsWith(RULE_REASON)) blocks.inc({ reason });
      for (const { type, count } of verdict.redactions) redactions.inc({ kind: type }, count);
    },
    guardFailed: (error) => log.error({ err: error }, 'The content guard failed; the call is blocked.'),
  };
}

/** Names as OpenTelemetry's conventions for generative AI have them, where they have one. */
function writeLine(log: Logger, { facts, served, usage, verdict, ...call }: CallRecord): void {
  if (!log.isLevelEnabled('info')) return;
  log.info({
    correlation_id: facts.correlationId, request_id: facts.requestId, trace_id: facts.traceparent.split('-')[1], tenant_id: facts.auth.tenant_id, principal_id: facts.auth.principal.principal_id,
    ...(facts.runId === null ? {} : { run_id: facts.runId }), ...(facts.agentId === null ? {} : { agent_id: facts.agentId }),
    'gen_ai.operation.name': facts.operation === 'embed' ? 'embeddings' : 'chat', 'gen_ai.request.model': facts.modelRef,
    ...(served === null ? {} : { 'gen_ai.provider.name': served.backend, 'gen_ai.response.model': served.backendModel }),
    ...(usage === null ? {} : { 'gen_ai.usage.input_tokens': usage.inputTokens, 'gen_ai.usage.output_tokens': usage.outputTokens }),
    ...(call.finishReason === null ? {} : { 'gen_ai.response.finish_reasons': [call.finishReason] }),
    surface: facts.surface, streamed: facts.streamed, outcome: call.outcome, policy_decision: verdict.decision, policy_reasons: verdict.reasons, attempts: call.attempts.length, fallback_used: call.fallbackUsed,
    cost_usd: call.costUsd, latency_ms: Math.round(call.totalMs * 10) / 10, ...(call.firstByteMs === null ? {} : { first_byte_ms: Math.round(call.firstByteMs * 10) / 10 }),
  }, 'Model call.');
}

/** Labels come from configuration and from the list of error codes, so there are few of them. */
function remembered<Child>(make: (a: string, b: string, c: string, d: string) => Child): (a: string, b: string, c: string, d?: string) => Child {
  const children = new Map<string, Child>();
  return (a, b, c, d = '') => {
    const key = `${a} ${b} ${c} ${d}`;
    let child = children.get(key);
    if (child === undefined) children.set(key, (child = make(a, b, c, d)));
    return child;
  };
}
