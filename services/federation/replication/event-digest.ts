/**
 * What makes an event the event that it is: its id, its place in the run, its type and its payload. What a node may fill
 * in for an older one (time, trace, agent) is not part of it, so that the same event sent twice is known again.
 */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { canonicalHash } from '../../platform/canonical.ts';

export type WireEvent = EventEnvelope['event'];

/** SHA-256, hexadecimal. Members of the payload count in any order. */
export const eventDigest = ({ event_id, run_id, sequence, type, payload }: WireEvent): string => canonicalHash([event_id, run_id, sequence, type, payload]);

const TERMINAL_TYPES: ReadonlySet<string> = new Set(['agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled']);

/** True for the events that end a run. */
export const isTerminal = (event: Pick<WireEvent, 'type'>): boolean => TERMINAL_TYPES.has(event.type);
