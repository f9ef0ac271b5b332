/** The limits a tenant really has: its own quotas where it has them, the node's defaults elsewhere (C.2, C-54). */
import type { Tenant } from '../../../generated/types/index.ts';

/** The part of the configuration that this reads. */
export interface QuotaDefaults {
  readonly AGENTOS_QUOTA_RUN_CREATE_QPS: number;
  readonly AGENTOS_QUOTA_RUN_CREATE_BURST?: number | undefined;
  readonly AGENTOS_QUOTA_CONCURRENT_RUNS: number;
  readonly AGENTOS_QUOTA_INVOKE_QPS: number;
  /** Of the whole node; absent where runs are not queued. */
  readonly AGENTOS_MAX_QUEUED_RUNS?: number;
  readonly AGENTOS_MEMORY_BYTES_LIMIT?: number | undefined;
}

export interface EffectiveQuotas {
  /** Run creations a second; 0 refuses all. */
  readonly runCreateQps: number;
  /** Run creations at once above that rate: at least 1 unless the rate is 0. */
  readonly runCreateBurst: number;
  readonly maxConcurrentRuns: number;
  readonly invokeQps: number;
  /** null: not limited. */
  readonly toolCallsPerMinute: number | null;
  readonly maxTokensPerRequest: number | null;
  readonly maxModelRequestsPerMinute: number | null;
  readonly maxMemoryBytes: number | null;
}

export function effectiveQuotas(tenant: Pick<Tenant, 'quotas'>, defaults: QuotaDefaults): EffectiveQuotas {
  const runs = tenant.quotas?.runs;
  const models = tenant.quotas?.models;
  const runCreateQps = runs?.run_create_qps ?? defaults.AGENTOS_QUOTA_RUN_CREATE_QPS;
  // A tenant with a rate of its own and no burst gets a burst of its rate, not the node's, which belongs to another rate.
  const nodeBurst = runs?.run_create_qps === undefined ? defaults.AGENTOS_QUOTA_RUN_CREATE_BURST : undefined;
  const burst = runs?.run_create_burst ?? nodeBurst ?? Math.ceil(runCreateQps);
  return {
    runCreateQps,
    runCreateBurst: runCreateQps === 0 ? 0 : Math.max(1, burst),
    maxConcurrentRuns: runs?.max_concurrent_runs ?? defaults.AGENTOS_QUOTA_CONCURRENT_RUNS,
    invokeQps: defaults.AGENTOS_QUOTA_INVOKE_QPS,
    toolCallsPerMinute: tenant.quotas?.tools?.tool_calls_per_minute ?? null,
    maxTokensPerRequest: models?.max_tokens_per_request ?? null,
    maxModelRequestsPerMinute: models?.max_requests_per_minute ?? null,
    maxMemoryBytes: tenant.quotas?.storage?.max_memory_bytes ?? defaults.AGENTOS_MEMORY_BYTES_LIMIT ?? null,
  };
}
