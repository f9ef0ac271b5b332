/**
 * The Appendix's canonical payloads (examples/golden), and which operation takes or answers each of them.
 * `index.json` there names the schema of every file.
 */
import { readFileSync } from 'node:fs';
import type { ServiceName } from '../harness/prism.ts';

export interface GoldenFile {
  readonly file: string;
  readonly schema: string;
  readonly kind: string;
}

const FOLDER = new URL('../../examples/golden/', import.meta.url);

export function goldenPayload(file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Record<string, unknown>;
}

export const goldenFiles: readonly GoldenFile[] = (JSON.parse(readFileSync(new URL('index.json', FOLDER), 'utf8')) as { files: GoldenFile[] }).files;

/** Requests as they go over the wire. `path` has its parameters filled in. */
export const goldenRequests: readonly { readonly file: string; readonly service: ServiceName; readonly operationId: string; readonly method: 'POST'; readonly path: string; readonly success: readonly number[] }[] = [
  { file: 'C.3-tenant-create.request.json', service: 'agent-orchestrator', operationId: 'createTenant', method: 'POST', path: '/v1/admin/tenants', success: [201] },
  { file: 'D.1-run-create.request.json', service: 'agent-orchestrator', operationId: 'createRun', method: 'POST', path: '/v1/agents/agt_review_summarizer_v1/runs', success: [201, 200] },
  { file: 'E.1-model-invoke-chat.request.json', service: 'model-policy', operationId: 'invokeModel', method: 'POST', path: '/v1/models:invoke', success: [200] },
  { file: 'E.3-policy-check.request.json', service: 'model-policy', operationId: 'policyCheck', method: 'POST', path: '/v1/policy:check', success: [200] },
  { file: 'E.3-policy-check.request.json', service: 'model-policy', operationId: 'policyCheckByPath', method: 'POST', path: '/v1/policy/check', success: [200] },
  { file: 'E.4-model-invoke-embed.request.json', service: 'model-policy', operationId: 'invokeModel', method: 'POST', path: '/v1/models:invoke', success: [200] },
  { file: 'F.3-run-forward.request.json', service: 'federation', operationId: 'forwardRun', method: 'POST', path: '/v1/federation/runs:forward', success: [200] },
  { file: 'F.5-events-ingest.request.json', service: 'federation', operationId: 'ingestFederatedEvents', method: 'POST', path: '/v1/federation/events:ingest', success: [200] },
];

const RUN_OPTIONS = { priority: 'normal', timeout_ms: 180_000, max_steps: 30, stream_events: true, dry_run: false };
const SUMMARY = { steps_total: 0, tool_calls_total: 0, model_calls_total: 0 };
const CORRELATION = 'corr_01JH9Y0QA5N2K4P8S9T0V1W2X3';
const EVENTS_URL = '/v1/runs/run_01JH9Y0Q2KQ4R7S7X6G0M3E4F8/events';

export interface GoldenAnswer {
  readonly file: string;
  readonly service: ServiceName;
  readonly operationId: string;
  readonly status: number;
  /** What stands beside the sample's own members in our answer (C-07, C-21). */
  readonly addTop?: Readonly<Record<string, unknown>>;
  /** Members of a run that our answers always carry and the sample leaves out (C-40 to C-43). */
  readonly addRun?: Readonly<Record<string, unknown>>;
}

/**
 * The sample with what our answers carry beyond it: the tenant and the correlation id at the top of every success
 * (C-37, C-38), and the members of a run. Nothing of the sample is changed.
 */
export function completed(answer: GoldenAnswer): Record<string, unknown> {
  const payload = goldenPayload(answer.file);
  const full: Record<string, unknown> = { ...answer.addTop, ...(answer.status < 400 ? { tenant_id: 'tnt_demo', correlation_id: CORRELATION } : {}), ...payload };
  if (answer.addRun !== undefined) full['run'] = { ...answer.addRun, ...(payload['run'] as object) };
  return full;
}

/** Answers, and the operations and statuses whose schema they must satisfy. */
export const goldenAnswers: readonly GoldenAnswer[] = [
  { file: 'A.3-error.response.json', service: 'agent-orchestrator', operationId: 'createRun', status: 429 },
  { file: 'A.3-error.response.json', service: 'model-policy', operationId: 'invokeModel', status: 403 },
  { file: 'A.3-error.response.json', service: 'federation', operationId: 'forwardRun', status: 409 },
  { file: 'D.2-run-create.response.json', service: 'agent-orchestrator', operationId: 'createRun', status: 201, addRun: { started_at: null, completed_at: null, correlation_id: CORRELATION, run_options: RUN_OPTIONS, summary: SUMMARY } },
  { file: 'D.3-run.json', service: 'agent-orchestrator', operationId: 'getRun', status: 200, addRun: { events_url: EVENTS_URL } },
  { file: 'E.2-model-invoke-chat.response.json', service: 'model-policy', operationId: 'invokeModel', status: 200 },
  { file: 'E.3-policy-check.response.json', service: 'model-policy', operationId: 'policyCheck', status: 200 },
  { file: 'E.4-model-invoke-embed.response.json', service: 'model-policy', operationId: 'invokeModel', status: 200 },
  { file: 'E.5-models-list.response.json', service: 'model-policy', operationId: 'listModels', status: 200, addTop: { object: 'list', data: [] } },
  { file: 'F.1-peer-info.response.json', service: 'federation', operationId: 'getPeerInfo', status: 200 },
  { file: 'F.1-peer-info.response.json', service: 'agent-orchestrator', operationId: 'getPeerInfo', status: 200 },
  { file: 'F.2-peer-capabilities.response.json', service: 'federation', operationId: 'getPeerCapabilities', status: 200, addTop: { peer_id: 'stk_usw2_node_01', protocol: '1.0', event_backhaul: { mode: 'none' } } },
  { file: 'F.2-peer-capabilities.response.json', service: 'agent-orchestrator', operationId: 'getPeerCapabilities', status: 200, addTop: { peer_id: 'stk_usw2_node_01', protocol: '1.0', event_backhaul: { mode: 'none' } } },
  { file: 'F.4-run-forward.response.json', service: 'federation', operationId: 'forwardRun', status: 200 },
];
