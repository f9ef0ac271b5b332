/**
 * Trying candidates in order (PRS 6.3). The next one is tried only when the failure says nothing about the request
 * itself: the backend is away, slow, or refuses for load. A refusal of the request is the answer, wherever it comes
 * from. Nothing is tried once the caller has gone.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import type { CatalogueModel } from './catalogue.ts';

export interface Attempt {
  readonly backend: string;
  readonly model: string;
  /** null: it answered. */
  readonly error: ErrorCode | null;
  readonly latencyMs: number;
}

export interface Served<Answer> {
  readonly answer: Answer;
  readonly model: CatalogueModel;
  /** True when an earlier candidate failed. */
  readonly fallbackUsed: boolean;
  readonly attempts: readonly Attempt[];
}

const FALLBACK_CODES: ReadonlySet<ErrorCode> = new Set(['dependency_unavailable', 'timeout', 'rate_limited']);
/** Where nobody has written down a chain. */
export const MAX_ATTEMPTS = 3;

/** @throws AgentOsError the last failure, with `details.attempts` when there were several. */
export async function callWithFallback<Answer>(
  candidates: readonly CatalogueModel[],
  signal: DepartureSignal,
  call: (model: CatalogueModel) => Promise<Answer>,
  onAttempt: (model: CatalogueModel, attempt: Attempt, error: AgentOsError | null, exactMs: number) => void,
  maxAttempts = MAX_ATTEMPTS,
): Promise<Served<Answer>> {
  const attempts: Attempt[] = [];
  const most = Math.min(candidates.length, maxAttempts);
  for (let place = 0; place < most; place += 1) {
    const model = candidates[place]!;
    const started = performance.now();
    const note = (error: AgentOsError | null): void => {
      const exactMs = performance.now() - started;
      const attempt = { backend: model.backend, model: model.modelId, error: error === null ? null : error.code, latencyMs: Math.round(exactMs) };
      attempts.push(attempt);
      onAttempt(model, attempt, error, exactMs);
    };
    try {
      const answer = await call(model);
      note(null);
      return { answer, model, fallbackUsed: attempts.length > 1, attempts };
    } catch (thrown) {
      const error = thrown instanceof AgentOsError ? thrown : new AgentOsError('internal_error', { message: `The adapter of backend ${model.backend} failed.`, cause: thrown });
      note(error);
      const last = attempts.length === most;
      if (last || signal.aborted || !FALLBACK_CODES.has(error.code)) throw withAttempts(error, attempts);
    }
  }
  throw new AgentOsError('internal_error', { message: 'Routing found no candidate to call.' });
}

function withAttempts(error: AgentOsError, attempts: readonly Attempt[]): AgentOsError {
  if (attempts.length < 2) return error;
  return new AgentOsError(error.code, {
    message: error.message,
    retryable: error.retryable,
    details: { ...error.details, attempts: attempts.map(({ backend, model, error: code }) => ({ backend, model, error: code })) },
    ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
    cause: error.cause,
  });
}
