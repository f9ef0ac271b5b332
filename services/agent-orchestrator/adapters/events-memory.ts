/** Events in memory. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { EventPage, EventPort } from '../ports/events.ts';
import type { MemoryRunStore } from './run-store-memory.ts';
import { runKey } from './wake-hub.ts';

export class MemoryEvents implements EventPort {
  readonly #store: MemoryRunStore;

  constructor(store: MemoryRunStore) {
    this.#store = store;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async read(auth: AuthContext, runId: string, query: { readonly after: number; readonly limit: number }): Promise<EventPage> {
    const { run, events } = this.#store.events(auth.tenant_id, runId);
    const page = events.filter((event) => event.sequence > query.after).slice(0, query.limit);
    return { events: structuredClone(page), status: run.status, lastSequence: run.lastSequence };
  }

  announce(auth: AuthContext, runId: string, lastSequence: number): void {
    this.#store.wake.signalRun(runKey(auth.tenant_id, runId), lastSequence);
  }

  wait(auth: AuthContext, runId: string, options: { readonly after: number; readonly maxWaitMs: number; readonly signal: AbortSignal }): Promise<void> {
    return this.#store.wake.waitForRun(runKey(auth.tenant_id, runId), options.after, options.maxWaitMs, options.signal);
  }
}
