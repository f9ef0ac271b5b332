/**
 * The newest events of runs that this very process wrote, so that whoever watches them here need not read back what
 * has just been written. Events never change once they are committed, so handing them out from memory is the same as
 * reading them; whatever is not here, or may have been continued elsewhere, is read from the database.
 *
 * Only committed events are added, in sequence; a run whose next event is not the next sequence was continued by
 * another process, and is forgotten. Bounded in runs and in bytes, oldest first.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { EventPage, RunEvent } from '../ports/events.ts';
import type { EventDraft, NewRun, RunStatus } from '../ports/run-state.ts';
import { traceparentAt } from '../runtime/ids.ts';
import { runKey } from './wake-hub.ts';

interface Tail {
  readonly tenantId: string;
  readonly runId: string;
  readonly agentId: string;
  readonly traceparent: string;
  /** From the first event on, without gap. */
  readonly events: RunEvent[];
  status: RunStatus;
  bytes: number;
}

const MAX_RUNS = 5_000;
const MAX_BYTES = 32 * 1024 * 1024;
/** A run whose events are larger than this is read from the database. */
const MAX_RUN_BYTES = 512 * 1024;

export class EventTail {
  readonly #tails = new Map<string, Tail>();
  #bytes = 0;

  /** A run that this process created. */
  begin(auth: AuthContext, run: NewRun, createdAt: string): void {
    const tail: Tail = { tenantId: auth.tenant_id, runId: run.runId, agentId: run.agent.agentId, traceparent: run.traceparent, events: [], status: 'queued', bytes: 0 };
    this.#tails.set(runKey(auth.tenant_id, run.runId), tail);
    this.append(auth.tenant_id, run.runId, { drafts: [run.created], lastSequence: 1, time: createdAt, status: 'queued', bytes: 200 });
    this.#trim();
  }

  append(tenantId: string, runId: string, added: { readonly drafts: readonly EventDraft[]; readonly lastSequence: number; readonly time: string; readonly status: RunStatus; readonly bytes: number }): void {
    const key = runKey(tenantId, runId);
    const tail = this.#tails.get(key);
    if (tail === undefined) return;
    const before = added.lastSequence - added.drafts.length;
    if (before !== tail.events.length || tail.bytes + added.bytes > MAX_RUN_BYTES) {
      this.#forget(key, tail);
      return;
    }
    for (const [index, draft] of added.drafts.entries()) {
      tail.events.push({
        eventId: draft.eventId,
        sequence: before + index + 1,
        time: added.time,
        type: draft.type,
        tenantId,
        agentId: tail.agentId,
        runId,
        stepId: draft.stepId,
        trace: { traceparent: traceparentAt(tail.traceparent, draft.spanId), span_id: draft.spanId },
        payload: draft.payload,
      });
    }
    tail.status = added.status;
    tail.bytes += added.bytes;
    this.#bytes += added.bytes;
  }

  /** Events behind the cursor, or null when the database has to be asked. */
  read(tenantId: string, runId: string, query: { readonly after: number; readonly limit: number }): EventPage | null {
    const tail = this.#tails.get(runKey(tenantId, runId));
    if (tail === undefined || tail.events.length <= query.after) return null;
    return { events: tail.events.slice(query.after, query.after + query.limit), status: tail.status, lastSequence: tail.events.length };
  }

  #trim(): void {
    for (const [key, tail] of this.#tails) {
      if (this.#tails.size <= MAX_RUNS && this.#bytes <= MAX_BYTES) return;
      this.#forget(key, tail);
    }
  }

  #forget(key: string, tail: Tail): void {
    this.#tails.delete(key);
    this.#bytes -= tail.bytes;
  }
}
