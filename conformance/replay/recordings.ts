/**
 * The corpus: histories of runs as releases recorded them. A release must replay every one of them to the very
 * decisions that stand in the file, because a node that is upgraded takes over runs that the release before began.
 *
 * A file is written once and never again. `npx tsx conformance/replay/record.ts` adds those that are missing.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunWork } from '../../services/agent-orchestrator/ports/run-state.ts';
import type { ReplayReport, ReplayedEvent } from '../../services/agent-orchestrator/runtime/replay.ts';

export const CORPUS = join(dirname(fileURLToPath(import.meta.url)), 'corpus');

export interface Recording {
  /** The release whose worker wrote the history. */
  readonly recorded_by: string;
  readonly about: string;
  /** The run as stored, without its events. */
  readonly work: RunWork;
  readonly events: readonly (ReplayedEvent & { readonly time: string })[];
  /** What that release's own replay said. */
  readonly report: ReplayReport;
}

export const recordingNames = (): readonly string[] => readdirSync(CORPUS).filter((name) => name.endsWith('.json')).sort();

export const readRecording = (name: string): Recording => JSON.parse(readFileSync(join(CORPUS, name), 'utf8')) as Recording;
