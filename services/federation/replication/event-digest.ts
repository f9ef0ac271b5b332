/**
 * What makes an event the event that it is: its id, its place in the run, its type and its payload. What a node may fill
 * in for an older one (time, trace, agent) is not part of it, so that the same event sent twice is known again.
 */
import { createHash } from 'node:crypto';
import type { EventEnvelope } from '../../../generated/types/index.ts';

export type WireEvent = EventEnvelope['event'];

/** SHA-256, base64url. Members of the payload count in any order. */
export function eventDigest({ event_id, run_id, sequence, type, payload }: WireEvent): string {
  return createHash('sha256').update(canonical([event_id, run_id, sequence, type, payload])).digest('base64url');
}

/** Members in code-unit order (RFC 8785 for what JSON.parse can produce). */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical((value as Record<string, unknown>)[name])}`).join(',')}}`;
}

const TERMINAL_TYPES: ReadonlySet<string> = new Set(['agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled']);

/** True for the events that end a run. */
export const isTerminal = (event: Pick<WireEvent, 'type'>): boolean => TERMINAL_TYPES.has(event.type);
