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
  // Looking a labelled child up costs a sort and a join each time; the handful that exist are kept.
  const attemptOf = remembered((backend, model, outcome) => attempts.labels({ backend, model, outcome }));
  const callOf = remembered((operation, backend, model, outcome) => ({
    count: requests.labels({ operation, backend, model, outcome }), latency: latency.labels({ operation, backend }),
    input: tokens.labels({ backend, model, direction: 'input' }), output: tokens.labels({ backend, model, direction: 'output' }),
  }));
  return {
    attempted: ({ backend, model, error }) => attemptOf(backend, model, error ?? 'ok').inc(),
    finished({ operation, backend, model, outcome, inputTokens, outputTokens, costUsd, latencyMs }) {
      const call = callOf(operation, backend, model, outcome);
      call.count.inc();
      call.latency.observe(latencyMs);
      if (inputTokens > 0) call.input.inc(inputTokens);
      if (outputTokens > 0) call.output.inc(outputTokens);
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
