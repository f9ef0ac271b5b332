/** What the engine tells the outside about its work: counters and log lines, never content. */
import type { PolicyVerdict } from '../policy/evaluate.ts';
import type { Attempt } from '../router/fallback.ts';

export interface EngineObserver {
  attempted(attempt: Attempt): void;
  /** Once a call, whatever became of it. `costUsd` is null when the model has no price. */
  finished(call: {
    readonly operation: 'chat' | 'embed';
    readonly backend: string;
    readonly model: string;
    /** `ok`, or the error code. */
    readonly outcome: string;
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly costUsd: number | null;
    readonly latencyMs: number;
  }): void;
  judged(verdict: PolicyVerdict): void;
  guardFailed(error: unknown): void;
}
