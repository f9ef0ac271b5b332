/** Waiting that leaves nothing behind: no timer, and no listener on a signal that lives longer. */

/** Ends after `ms`, or when the signal is aborted. */
export function sleepUntil(ms: number, signal: AbortSignal): Promise<void> {
  return within(ms, signal, (bounded) => new Promise((resolve) => (bounded.aborted ? resolve() : bounded.addEventListener('abort', () => resolve(), { once: true }))));
}

/** Runs `work` with a signal that is aborted after `ms` at the latest. */
export async function within<Result>(ms: number, signal: AbortSignal, work: (bounded: AbortSignal) => Promise<Result>): Promise<Result> {
  const bounded = new AbortController();
  const abort = (): void => bounded.abort();
  const timer = setTimeout(abort, ms);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  try {
    return await work(bounded.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
