/**
 * Every identifier that a worker writes is a function of (run, step, kind) alone. A step that is executed a second
 * time, by this worker or by another, therefore produces the very same identifiers: a repeated write collides with
 * itself, a repeated model call is the same call to Model Policy, and a repeated tool call carries the same
 * `tool_call_id` to the tool.
 */
import { hash } from 'node:crypto';
import { derivedId } from '../../platform/ids.ts';

/** The place of an event: a step, counted from 1, or the run as a whole. */
export type StepPlace = number | 'run';

export const stepIdOf = (runId: string, step: number): string => derivedId('stp', runId, step);

export const eventIdOf = (runId: string, place: StepPlace, kind: string): string => derivedId('evt', runId, place, kind);

export const toolCallIdOf = (runId: string, step: number): string => derivedId('tcall', runId, step);

export const requestIdOf = (runId: string, step: number): string => derivedId('req', runId, step);

/** A W3C span id, 16 hex digits: one span for each step and one for the run, so that events of a step share it. */
export function spanIdOf(runId: string, place: StepPlace): string {
  return hash('sha256', `${runId}\u001fspan\u001f${place}`, 'hex').slice(0, 16);
}

/**
 * The trace context of a place in the run: the trace and flags of the request that created the run, with the
 * place's own span as parent. A traceparent that is not in the W3C form is returned as it is.
 */
export function traceparentAt(traceparent: string, spanId: string): string {
  const parts = traceparent.split('-');
  return parts.length === 4 ? `${parts[0]}-${parts[1]}-${spanId}-${parts[3]}` : traceparent;
}
