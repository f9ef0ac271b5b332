/**
 * What a test opened and did not close: sockets and servers of this process, counted by Node itself.
 *
 *     const opened = watchHandles();
 *     … start, use and dispose …
 *     await opened.expectClosed();
 */
const WATCHED = new Set(['TCPServerWrap', 'TCPSocketWrap', 'PipeWrap', 'ProcessWrap', 'TLSWrap']);
const GRACE_MS = 3_000;

function census(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (WATCHED.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

function surplus(before: ReadonlyMap<string, number>): string[] {
  return [...census()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind, count]) => `${kind}: ${count - (before.get(kind) ?? 0)} more`);
}

export interface HandleWatch {
  /** Waits a little for closing handles. @throws Error naming the kinds that stayed open. */
  expectClosed(): Promise<void>;
}

export function watchHandles(): HandleWatch {
  const before = census();
  return {
    async expectClosed() {
      const deadline = Date.now() + GRACE_MS;
      while (surplus(before).length > 0) {
        if (Date.now() > deadline) throw new Error(`Handles were left open: ${surplus(before).join(', ')}`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    },
  };
}
