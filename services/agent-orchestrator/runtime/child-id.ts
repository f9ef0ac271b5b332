/**
 * The id of a run that a step of another run starts. It derives from that run and step alone, so a step that is
 * executed again finds the run that it started before; and it begins with the time at which the parent started, so
 * that it stands among its contemporaries where runs are listed by id.
 */
import { encodeTime } from 'ulid';
import { derivedId } from '../../platform/ids.ts';

const TIME_LENGTH = 10;
const MAX_TIME_MS = 2 ** 48 - 1;

export function childRunIdOf(parent: { readonly runId: string; readonly startedMs: number }, step: number): string {
  return runIdAt(parent.startedMs) + derivedId('run', parent.runId, step).slice('run_'.length + TIME_LENGTH);
}

/** Smaller than the id of every run created from that millisecond on. */
export function runIdAt(timeMs: number): string {
  return `run_${encodeTime(Math.floor(Math.min(MAX_TIME_MS, Math.max(0, timeMs))), TIME_LENGTH)}`;
}
