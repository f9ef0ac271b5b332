/** Counters of PRS 9.2, Stack B, and a log line for a guard that failed. Labels never hold a tenant or content. */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import type { EngineObserver } from './observer.ts';

const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

export function createMetricsObserver(registry: Registry, log: Logger): EngineObserver {
  const registers = [registry];
  const requests = new Counter({ name: 'agentos_model_request_count', help: 'Model calls, by what became of them.', labelNames: ['operation', 'backend', 'model', 'outcome'] as const, registers });
  const latency = new Histogram({ name: 'agentos_model_request_latency_ms', help: 'Milliseconds from accepting a model call to its answer.', labelNames: ['operation', 'backend'] as const, buckets: LATENCY_BUCKETS_MS, registers });
  const tokens = new Counter({ name: 'agentos_token_usage', help: 'Tokens of model calls.', labelNames: ['backend', 'model', 'direction'] as const, registers });
  const cost = new Counter({ name: 'agentos_cost_estimate_usd', help: 'US dollars of model calls with a known price.', labelNames: ['backend', 'model'] as const, registers });
  const attempts = new Counter({ name: 'agentos_route_distribution', help: 'Attempts at backends; outcome is ok or the error code.', labelNames: ['backend', 'model', 'outcome'] as const, registers });
  const blocks = new Counter({ name: 'agentos_policy_block_count', help: 'Calls and checks that policy refused, by reason.', labelNames: ['reason'] as const, registers });
  const redactions = new Counter({ name: 'agentos_redaction_count', help: 'Pieces of text that policy took out, by kind.', labelNames: ['kind'] as const, registers });
  return {
    attempted: ({ backend, model, error }) => attempts.inc({ backend, model, outcome: error ?? 'ok' }),
    finished({ operation, backend, model, outcome, inputTokens, outputTokens, costUsd, latencyMs }) {
      requests.inc({ operation, backend, model, outcome });
      latency.observe({ operation, backend }, latencyMs);
      if (inputTokens > 0) tokens.inc({ backend, model, direction: 'input' }, inputTokens);
      if (outputTokens > 0) tokens.inc({ backend, model, direction: 'output' }, outputTokens);
      if (costUsd !== null && costUsd > 0) cost.inc({ backend, model }, costUsd);
    },
    judged(verdict) {
      if (verdict.decision === 'allowed') return;
      if (verdict.decision === 'blocked') for (const reason of verdict.reasons) blocks.inc({ reason });
      for (const { type, count } of verdict.redactions) redactions.inc({ kind: type }, count);
    },
    guardFailed: (error) => log.error({ err: error }, 'The content guard failed; the call is blocked.'),
  };
}
