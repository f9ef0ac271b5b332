/** Waiting for events of a replica: told of what this process stores, and looking again every second for what others did. */

/** Longest wait: another process may have stored something. */
const LOOK_AGAIN_MS = 1_000;

export class ReplicaWake {
  readonly #waiters = new Map<string, Set<() => void>>();

  signal(tenantId: string, runId: string): void {
    for (const wake of [...(this.#waiters.get(keyOf(tenantId, runId)) ?? [])]) wake();
  }

  /** False when the signal ended it. */
  wait(tenantId: string, runId: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    const key = keyOf(tenantId, runId);
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', settle);
        const waiters = this.#waiters.get(key);
        waiters?.delete(settle);
        if (waiters?.size === 0) this.#waiters.delete(key);
        resolve(!signal.aborted);
      };
      const timer = setTimeout(settle, LOOK_AGAIN_MS);
      signal.addEventListener('abort', settle, { once: true });
      const waiters = this.#waiters.get(key);
      if (waiters === undefined) this.#waiters.set(key, new Set([settle]));
      else waiters.add(settle);
    });
  }
}

const keyOf = (tenantId: string, runId: string): string => `${tenantId}\u001f${runId}`;
