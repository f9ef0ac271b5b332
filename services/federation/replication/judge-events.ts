/**
 * Which events of a batch are new, as if they were stored one after the other. Adapters look up who holds the ids and
 * places that the batch asks for; whether that makes an event a repeat or a contradiction is decided here, for all of them.
 */
import type { StoreVerdict } from '../ports/replica.ts';
import { eventDigest, type WireEvent } from './event-digest.ts';

/** An event that is held already. */
export interface HeldEvent {
  readonly eventId: string;
  readonly runId: string;
  readonly sequence: number;
  readonly digest: string;
}

export interface JudgedEvents {
  /** In the order of the events. */
  readonly verdicts: StoreVerdict[];
  /** Those that are new, and where each stands in the batch. */
  readonly fresh: readonly { readonly event: WireEvent; readonly digest: string; readonly at: number }[];
}

export const placeOf = (runId: string, sequence: number): string => `${runId}\u001f${sequence}`;

/** @param isOfSource whether the node that sends may add to the run */
export function judgeEvents(events: readonly WireEvent[], held: Iterable<HeldEvent>, isOfSource: (runId: string) => boolean): JudgedEvents {
  const byId = new Map<string, string>();
  const byPlace = new Map<string, string>();
  for (const { eventId, runId, sequence, digest } of held) {
    byId.set(eventId, digest);
    byPlace.set(placeOf(runId, sequence), digest);
  }
  const fresh: { event: WireEvent; digest: string; at: number }[] = [];
  const verdicts = events.map((event, at): StoreVerdict => {
    const digest = eventDigest(event);
    const place = placeOf(event.run_id, event.sequence);
    const [sameId, samePlace] = [byId.get(event.event_id), byPlace.get(place)];
    // The digest speaks of id and place too, so one that is equal is the very event.
    if (sameId === digest) return 'duplicate';
    if (sameId !== undefined || samePlace !== undefined || !isOfSource(event.run_id)) return 'conflict';
    byId.set(event.event_id, digest);
    byPlace.set(place, digest);
    fresh.push({ event, digest, at });
    return 'stored';
  });
  return { verdicts, fresh };
}
