/** POST /v1/runs:batch: each run is admitted by itself, and they share the commits that create them. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import { statusOf } from '../../platform/http/errors.ts';
import { canonicalHash } from '../runtime/canonical.ts';
import type { BatchOutcome, Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

/** With the index behind it a key still fits where keys are answered. */
const MAX_KEY_CHARACTERS = 252;

export const createRunBatch = (runs: Runs): AgentOrchestratorHandlers['createRunBatch'] =>
  async ({ body, auth, context }) => {
    const { correlationId, traceparent, idempotencyKey } = context;
    const outcomes = await runs.createBatch(
      auth,
      body.runs.map((run, index) => ({ agentId: run.agent_id, body: run, idempotencyKey: keyAt(idempotencyKey, index), correlationId, traceparent })),
    );
    return { status: 200, body: { results: outcomes.map(resultOf), correlation_id: correlationId, tenant_id: auth.tenant_id } };
  };

function keyAt(key: string | null, index: number): string | null {
  if (key === null) return null;
  return `${key.length > MAX_KEY_CHARACTERS ? canonicalHash(key) : key}:${index}`;
}

function resultOf(outcome: BatchOutcome, index: number) {
  if (!('error' in outcome)) return { index, status: outcome.replayed ? 200 : 201, run: runToWire(outcome.run) };
  const { code, message, retryable, details } = outcome.error;
  return { index, status: statusOf(outcome.error), error: { code, message, retryable, details: { ...details } } };
}
