/**
 * The events of a run as they are written (Appendix D.5, and the additive `agentos.run.started`,
 * `agentos.run.step.completed`, `agentos.run.canceled`). One function an event type; identifiers derive from
 * (run, step, kind), so a repeated write is the same event.
 */
import type { EventDraft, RunFailure, RunOutput, RunSummary } from '../ports/run-state.ts';
import { eventIdOf, spanIdOf, stepIdOf, toolCallIdOf, requestIdOf, type StepPlace } from '../runtime/ids.ts';

export type StepKind = 'model' | 'tool' | 'plan';

function draft(runId: string, place: StepPlace, type: string, payload: Readonly<Record<string, unknown>>): EventDraft {
  return {
    eventId: eventIdOf(runId, place, type),
    type,
    stepId: place === 'run' ? null : stepIdOf(runId, place),
    spanId: spanIdOf(runId, place),
    payload,
  };
}

export const runCreated = (runId: string): EventDraft => draft(runId, 'run', 'agentos.run.created', { status: 'queued' });

export const runStarted = (runId: string): EventDraft => draft(runId, 'run', 'agentos.run.started', { status: 'running' });

export const runCompleted = (runId: string, output: RunOutput): EventDraft =>
  draft(runId, 'run', 'agentos.run.completed', { status: 'completed', output });

export const runFailed = (runId: string, error: RunFailure): EventDraft => draft(runId, 'run', 'agentos.run.failed', { status: 'failed', error });

export const runCanceled = (runId: string, principalId: string): EventDraft =>
  draft(runId, 'run', 'agentos.run.canceled', { status: 'canceled', canceled_by: principalId });

export const stepStarted = (runId: string, step: number, payload: { readonly step_kind: StepKind; readonly name: string; readonly message: string }): EventDraft =>
  draft(runId, step, 'agentos.run.step.started', payload);

export const stepCompleted = (
  runId: string,
  step: number,
  payload: { readonly status: 'ok' | 'error'; readonly step_kind: StepKind; readonly name: string; readonly duration_ms: number; readonly output?: RunOutput; readonly error?: RunFailure },
): EventDraft => draft(runId, step, 'agentos.run.step.completed', payload);

export interface ModelRequested {
  readonly model_ref: string;
  readonly operation: 'chat';
  readonly requirements: Readonly<Record<string, number>>;
  readonly input_summary: { readonly messages: number; readonly has_tools: boolean };
  /** What a replay computes again and compares. */
  readonly input_hash: string;
  /** As they were offered; absent when none were. */
  readonly tools?: readonly { readonly tool_id: string; readonly name: string }[];
}

export const modelRequested = (runId: string, step: number, payload: ModelRequested): EventDraft =>
  draft(runId, step, 'agentos.model.requested', { ...payload, request_id: requestIdOf(runId, step) });

/** With `status: ok` carries the additive `output` (the answer itself): the log alone must suffice to go on. */
export const modelCompleted = (runId: string, step: number, payload: Readonly<Record<string, unknown>>): EventDraft =>
  draft(runId, step, 'agentos.model.completed', { ...payload, request_id: requestIdOf(runId, step) });

export const toolCallRequested = (
  runId: string,
  step: number,
  payload: { readonly tool_id: string; readonly input: unknown; readonly timeout_ms: number },
): EventDraft => draft(runId, step, 'agentos.tool.call.requested', { tool_call_id: toolCallIdOf(runId, step), ...payload });

export const toolCallCompleted = (
  runId: string,
  step: number,
  payload: {
    readonly tool_id: string;
    readonly status: 'ok' | 'error';
    readonly output: unknown;
    readonly duration_ms: number;
    readonly error: null | { readonly code: string; readonly message: string; readonly retryable: boolean; readonly details: Readonly<Record<string, unknown>> };
  },
): EventDraft => draft(runId, step, 'agentos.tool.call.completed', { tool_call_id: toolCallIdOf(runId, step), ...payload });

/** What a transition adds to the run's summary (steps and calls that ended), counted from its own events so that the two cannot disagree. */
export function summaryOf(drafts: readonly EventDraft[]): RunSummary {
  let stepsTotal = 0;
  let toolCallsTotal = 0;
  let modelCallsTotal = 0;
  for (const { type } of drafts) {
    if (type === 'agentos.run.step.completed') stepsTotal += 1;
    else if (type === 'agentos.tool.call.completed') toolCallsTotal += 1;
    else if (type === 'agentos.model.completed') modelCallsTotal += 1;
  }
  return { stepsTotal, toolCallsTotal, modelCallsTotal };
}
