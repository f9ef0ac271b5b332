/** Counters and the log line of PRS 9.2, Stack B, for each model call. Neither of them holds content; tenants stand in series of their own, which few may see. */
import { Counter } from 'prom-client';
import type { Logger } from 'pino';
import { quoted, writePlainLine } from '../../platform/telemetry/logger.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { spanIdIn, underTraceparent } from '../../platform/telemetry/trace-context.ts';
import type { Tracing } from '../../platform/telemetry/tracing.ts';
import { TallyCounter, TallyHistogram } from '../../platform/telemetry/tallies.ts';
import type { TenantSeries } from '../../platform/telemetry/tenant-series.ts';
import { accountablePrincipal } from '../../platform/tenancy/auth-context.ts';
import { RULE_REASON } from '../policy/evaluate.ts';
import type { CallRecord } from './call-record.ts';
import type { EngineObserver } from './observer.ts';

const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

export function createMetricsObserver(metrics: Pick<Metrics, 'registry' | 'tenants' | 'tracing'>, log: Logger): EngineObserver {
  const { registry, tenants } = metrics;
  const registers = [registry];
  const requests = new TallyCounter<'operation' | 'backend' | 'model' | 'outcome'>({ name: 'agentos_model_request_count', help: 'Model calls, by what became of them.', registers });
  const latency = new TallyHistogram<'operation' | 'backend'>({ name: 'agentos_model_request_latency_ms', help: 'Milliseconds from accepting a model call to its answer.', buckets: LATENCY_BUCKETS_MS, registers });
  const firstByte = new TallyHistogram<'operation' | 'backend'>({ name: 'agentos_model_first_byte_ms', help: 'Milliseconds from accepting a streamed model call to the first piece of its answer.', buckets: LATENCY_BUCKETS_MS, registers });
  const tokens = new TallyCounter<'backend' | 'model' | 'direction'>({ name: 'agentos_token_usage', help: 'Tokens of model calls.', registers });
  const cost = new TallyCounter<'backend' | 'model'>({ name: 'agentos_cost_estimate_usd', help: 'US dollars of model calls with a known price.', registers });
  const attempts = new TallyCounter<'backend' | 'model' | 'outcome'>({ name: 'agentos_route_distribution', help: 'Attempts at backends; outcome is ok or the error code.', registers });
  const blocks = new Counter({ name: 'agentos_policy_block_count', help: 'Calls and checks that policy refused, by reason.', labelNames: ['reason'] as const, registers });
  const redactions = new Counter({ name: 'agentos_redaction_count', help: 'Pieces of text that policy took out, by kind.', labelNames: ['kind'] as const, registers });
  const toTenant = tenantCalls(tenants);
  const attemptOf = remembered((backend, model, outcome) => attempts.of({ backend, model, outcome }));
  const callOf = remembered((operation, backend, model, outcome) => ({
    count: requests.of({ operation, backend, model, outcome }), latency: latency.of({ operation, backend }),
    firstByte: firstByte.of({ operation, backend }), cost: cost.of({ backend, model }),
    input: tokens.of({ backend, model, direction: 'input' }), output: tokens.of({ backend, model, direction: 'output' }),
  }));
  return {
    attempted: ({ backend, model, error }) => attemptOf(backend, model, error ?? 'ok').add(1),
    finished(call) {
      const { operation } = call.facts;
      const [backend, model] = call.served === null ? ['', ''] : [call.served.backend, call.served.modelId];
      const { inputTokens, outputTokens } = call.usage ?? { inputTokens: 0, outputTokens: 0 };
      const counters = callOf(operation, backend, model, call.outcome);
      counters.count.add(1);
      counters.latency.add(call.totalMs);
      if (call.firstByteMs !== null) counters.firstByte.add(call.firstByteMs);
      if (inputTokens > 0) counters.input.add(inputTokens);
      if (outputTokens > 0) counters.output.add(outputTokens);
      if (call.costUsd !== null && call.costUsd > 0) counters.cost.add(call.costUsd);
      toTenant(call, inputTokens, outputTokens);
      if (metrics.tracing !== null) traceCall(metrics.tracing, call);
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

const TENANT_BUCKETS_MS = [50, 250, 1_000, 5_000, 30_000];
const TENANT_OUTCOMES = ['ok', 'blocked', 'limited', 'client_closed', 'failed'] as const;
/** Codes that are no failure of ours or of a backend. */
const OUTCOME_OF: Readonly<Record<string, (typeof TENANT_OUTCOMES)[number]>> = { ok: 'ok', repeated: 'ok', policy_blocked: 'blocked', quota_exceeded: 'limited', rate_limited: 'limited', client_closed: 'client_closed' };

function tenantCalls(tenants: TenantSeries): (call: CallRecord, inputTokens: number, outputTokens: number) => void {
  const calls = tenants.counter({ name: 'agentos_tenant_model_calls_total', help: 'Model calls of a tenant: ok, blocked (policy), limited (budget or rate), client_closed, failed.' }, 'outcome', TENANT_OUTCOMES);
  const latency = tenants.histogram({ name: 'agentos_tenant_model_latency_ms', help: 'Milliseconds of a tenant’s model calls.' }, TENANT_BUCKETS_MS);
  const tokens = tenants.counter({ name: 'agentos_tenant_tokens_total', help: 'Tokens of a tenant’s model calls.' }, 'direction', ['input', 'output']);
  const cost = tenants.total({ name: 'agentos_tenant_cost_usd_total', help: 'US dollars of a tenant’s model calls with a known price.' });
  return (call, inputTokens, outputTokens) => {
    const account = tenants.of(call.facts.auth.tenant_id);
    calls.add(account, OUTCOME_OF[call.outcome] ?? 'failed');
    latency.observe(account, call.totalMs);
    tokens.add(account, 'input', inputTokens);
    tokens.add(account, 'output', outputTokens);
    if (call.costUsd !== null) cost.add(account, call.costUsd);
  };
}

function traceCall(tracing: Tracing, { facts, traceparent, served, usage, outcome, totalMs, attempts }: CallRecord): void {
  const operation = facts.operation === 'embed' ? 'embeddings' : 'chat';
  tracing.record({
    name: `${operation} ${served?.backendModel ?? facts.modelRef}`, kind: 'client', ...underTraceparent(facts.traceparent), spanId: spanIdIn(traceparent),
    durationMs: totalMs, failed: OUTCOME_OF[outcome] === undefined,
    attributes: {
      'gen_ai.operation.name': operation, 'gen_ai.request.model': facts.modelRef, ...(served === null ? {} : { 'gen_ai.provider.name': served.backend, 'gen_ai.response.model': served.backendModel }),
      ...(usage === null ? {} : { 'gen_ai.usage.input_tokens': usage.inputTokens, 'gen_ai.usage.output_tokens': usage.outputTokens }),
      'agentos.tenant_id': facts.auth.tenant_id, 'agentos.outcome': outcome, 'agentos.attempts': attempts.length, ...(facts.runId === null ? {} : { 'agentos.run_id': facts.runId }),
    },
  });
}

/** Names as OpenTelemetry's conventions for generative AI have them, where they have one. */
function writeLine(log: Logger, call: CallRecord): void {
  if (!log.isLevelEnabled('info')) return;
  const { facts, served, usage, verdict } = call;
  const reasons = verdict.reasons.length === 0 ? '[]' : JSON.stringify(verdict.reasons);
  writePlainLine(log,
    `"correlation_id":${quoted(facts.correlationId)},"request_id":${quoted(facts.requestId)},"trace_id":${quoted(facts.traceparent.slice(3, 35))},`
    + `"tenant_id":${quoted(facts.auth.tenant_id)},"principal_id":${quoted(accountablePrincipal(facts.auth).principal_id)},`
    + given('run_id', facts.runId) + given('agent_id', facts.agentId)
    + `"gen_ai.operation.name":"${facts.operation === 'embed' ? 'embeddings' : 'chat'}","gen_ai.request.model":${quoted(facts.modelRef)},`
    + (served === null ? '' : `"gen_ai.provider.name":${quoted(served.backend)},"gen_ai.response.model":${quoted(served.backendModel)},`)
    + (usage === null ? '' : `"gen_ai.usage.input_tokens":${usage.inputTokens},"gen_ai.usage.output_tokens":${usage.outputTokens},`)
    + (call.finishReason === null ? '' : `"gen_ai.response.finish_reasons":[${quoted(call.finishReason)}],`)
    + `"surface":"${facts.surface}","streamed":${facts.streamed},"outcome":${quoted(call.outcome)},"policy_decision":"${verdict.decision}","policy_reasons":${reasons},`
    + `"attempts":${call.attempts.length},"fallback_used":${call.fallbackUsed},"cost_usd":${call.costUsd},"latency_ms":${tenths(call.totalMs)},`
    + (call.firstByteMs === null ? '' : `"first_byte_ms":${tenths(call.firstByteMs)},`),
  'Model call.');
}

function given(name: string, value: string | null): string {
  return value === null ? '' : `"${name}":${quoted(value)},`;
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;

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
