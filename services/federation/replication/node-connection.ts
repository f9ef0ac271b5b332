/**
 * One connection to the stream of a run on the node that executes it, held to what a run's log is: events of this tenant
 * and run, each sequence once, none left out. What comes again is passed over; what cannot be ends the connection, and
 * whoever reads asks again from where they stand.
 *
 * One event is asked for at a time and nothing is gathered, so a reader that stalls makes the node's socket wait.
 */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { WireEvent } from './event-digest.ts';

/** The node that executes a run, as a reader of its events needs it. */
export interface NodeOfRun {
  /** @throws AgentOsError, also from the iteration; one that is not retryable is final. */
  open(afterSequence: number, signal: AbortSignal): Promise<AsyncIterable<EventEnvelope>>;
  /** Whether the run has ended there. @throws AgentOsError */
  hasEnded(signal: AbortSignal): Promise<boolean>;
}

export interface RunName {
  readonly tenantId: string;
  readonly runId: string;
}

/** `quiet`: nothing came in the time given · `closed`: the connection has ended. */
export type Arrival = { readonly event: WireEvent } | 'quiet' | 'closed';

/** A node that sends nothing but what was sent already is not worth listening to. */
const MOST_REPEATS = 10_000;

export class NodeConnection {
  readonly #run: RunName;
  readonly #events: AsyncIterator<EventEnvelope>;
  readonly #abort: AbortController;
  readonly #unlink: () => void;
  #cursor: number;
  #repeats = 0;
  #asked = false;
  #answer: { readonly result: IteratorResult<EventEnvelope> } | { readonly error: unknown } | null = null;
  #wake: () => void = () => undefined;

  private constructor(run: RunName, cursor: number, events: AsyncIterator<EventEnvelope>, abort: AbortController, unlink: () => void) {
    this.#run = run;
    this.#cursor = cursor;
    this.#events = events;
    this.#abort = abort;
    this.#unlink = unlink;
  }

  /** Resolves when the node has accepted. The signal closes it, at any time. @throws AgentOsError */
  static async open(node: NodeOfRun, run: RunName, afterSequence: number, signal: AbortSignal): Promise<NodeConnection> {
    const abort = new AbortController();
    const onAbort = (): void => abort.abort();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    const unlink = (): void => signal.removeEventListener('abort', onAbort);
    try {
      const events = await node.open(afterSequence, abort.signal);
      return new NodeConnection(run, afterSequence, events[Symbol.asyncIterator](), abort, unlink);
    } catch (error) {
      unlink();
      throw error;
    }
  }

  /** The next event in order. @throws AgentOsError when the connection broke, or brought what cannot be. */
  async next(maxWaitMs: number): Promise<Arrival> {
    for (;;) {
      const result = await this.#pull(maxWaitMs);
      if (result === null) return this.#abort.signal.aborted ? 'closed' : 'quiet';
      if (result.done === true) return 'closed';
      const { event } = result.value;
      if (event.tenant_id !== this.#run.tenantId || event.run_id !== this.#run.runId) {
        throw unusable('peer_events_foreign', `The node sent an event of another run than ${this.#run.runId}.`);
      }
      if (event.sequence <= this.#cursor) {
        this.#repeats += 1;
        if (this.#repeats > MOST_REPEATS) throw unusable('peer_events_repeated', `The node sent nothing but events of run ${this.#run.runId} that it had sent before.`);
        continue;
      }
      if (event.sequence > this.#cursor + 1) {
        throw unusable('peer_events_gap', `The node left out event ${this.#cursor + 1} of run ${this.#run.runId}.`);
      }
      this.#cursor = event.sequence;
      return { event };
    }
  }

  close(): void {
    this.#unlink();
    this.#abort.abort();
    this.#wake();
    // Not awaited: a node that is still to answer does so later, to nobody.
    void this.#events.return?.(undefined)?.catch(() => undefined);
  }

  /** null: nothing came in time. What was asked for stays asked, and the next call waits for the same answer. */
  async #pull(maxWaitMs: number): Promise<IteratorResult<EventEnvelope> | null> {
    if (!this.#asked) {
      this.#asked = true;
      this.#events.next().then(
        (result) => this.#answered({ result }),
        (error: unknown) => this.#answered({ error }),
      );
    }
    if (this.#answer === null && !this.#abort.signal.aborted) await this.#settled(maxWaitMs);
    const answer = this.#answer;
    if (answer === null) return null;
    this.#answer = null;
    this.#asked = false;
    if ('error' in answer) throw answer.error;
    return answer.result;
  }

  #answered(answer: { readonly result: IteratorResult<EventEnvelope> } | { readonly error: unknown }): void {
    this.#answer = answer;
    this.#wake();
  }

  #settled(maxWaitMs: number): Promise<void> {
    const { signal } = this.#abort;
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#wake = () => undefined;
        resolve();
      };
      const timer = setTimeout(wake, maxWaitMs);
      signal.addEventListener('abort', wake);
      this.#wake = wake;
    });
  }
}

const unusable = (reason: string, message: string): AgentOsError => new AgentOsError('dependency_unavailable', { message, details: { reason } });
