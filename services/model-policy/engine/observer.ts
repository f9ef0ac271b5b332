/** What the engine tells the outside about its work: counters and log lines, never content. */
import type { PolicyVerdict } from '../policy/evaluate.ts';
import type { Attempt } from '../router/fallback.ts';
import type { CallRecord } from './call-record.ts';

export interface EngineObserver {
  attempted(attempt: Attempt): void;
  /** Once a call, whatever became of it. */
  finished(call: CallRecord): void;
  judged(verdict: PolicyVerdict): void;
  guardFailed(error: unknown): void;
}
