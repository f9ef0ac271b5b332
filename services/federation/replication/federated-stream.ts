/**
 * The events of a run that may execute on another node, as one stream (PRS 7.3, 7.4; C-16, C-26, C-29).
 *
 * Three places can have them. The node that executes the run has all of them, and is asked first. The replica here has
 * what was copied, and stands in while the node is away; what it lacks is waited for. A run that was only ever copied
 * here is served from the replica alone. Whichever it is, a reader gets each sequence once, in order, and nothing after
 * the event that ends the run: one cursor goes through all of it, and every connection is opened at the cursor.
 *
 * A connection may end for many reasons, and an end says nothing about the run. When one ends without having brought
 * anything, the node is asked whether the run has ended. If so, the next connection is opened one event before the cursor:
 * the event at the cursor comes once more, and if it is the last one the stream is complete. A cursor behind the end
 * brings nothing at all, as often as it is tried; then too the stream is complete.
 *
 * Nothing is queued: the reader's pace is the pace at which the node is read.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';
import type { ReplicaExtent } from '../ports/replica.ts';
import { isTerminal, type WireEvent } from './event-digest.ts';
import { NodeConnection, type NodeOfRun, type RunName } from './node-connection.ts';
import { sleepUntil, within } from './waiting.ts';

/** What is kept of the run here. */
export interface ReplicaOfRun {
  read(after: { readonly sequence: number; readonly limit: number }): Promise<readonly WireEvent[]>;
  extent(): Promise<ReplicaExtent | null>;
  waitForMore(signal: AbortSignal): Promise<boolean>;
}

export interface FederatedRun extends RunName {
  /** null: it was only copied here, or its node cannot be asked. */
  readonly node: NodeOfRun | null;
  /** null: none is kept. */
  readonly replica: ReplicaOfRun | null;
  /** Why the node cannot be asked; the answer where nothing is kept of the run. */
  readonly unreachable?: unknown;
}

export interface FederatedStreamOptions {
  /** Exclusive; null: from the beginning. */
  readonly after: number | null;
  readonly signal: AbortSignal;
  /** Connections in a row that bring nothing, before a stream without a replica gives up. */
  readonly maxAttempts: number;
  readonly baseBackoffMs: number;
  readonly keepAliveMs?: number;
  readonly maxBackoffMs?: number;
  /** How long a missing event of a run that was only copied is waited for, before what is there is told. */
  readonly gapGraceMs?: number;
  readonly pageSize?: number;
  readonly random?: () => number;
  /** Told of each connection that was lost. */
  readonly onLost?: (error: unknown) => void;
}

const DEFAULTS = { keepAliveMs: 15_000, maxBackoffMs: 5_000, gapGraceMs: 2_000, pageSize: 32, random: Math.random, onLost: (_error: unknown): void => undefined };
/** A connection that held so long was worth it, even when nothing happened. */
const FRUITFUL_MS = 10_000;
/** Looks at a replica that has nothing new, for each question whether the run has ended behind the cursor. */
const LOOKS_BETWEEN_EXTENTS = 10;
const KEEP_ALIVE: SseFrame = { comment: 'keep-alive' };

type Outcome = 'done' | 'lost' | 'exhausted';

/** Decides what can be answered with a status before it resolves. @throws AgentOsError not_found, dependency_unavailable, or what the node refused with. */
export async function openFederatedStream(run: FederatedRun, options: FederatedStreamOptions): Promise<AsyncIterable<SseFrame>> {
  const reader = new FederatedReader(run, options);
  await reader.begin();
  return reader.frames();
}

export const frameOf = (event: WireEvent): SseFrame => ({ id: String(event.sequence), event: 'agentos.event', data: JSON.stringify({ event }) });

class FederatedReader {
  readonly #run: FederatedRun;
  readonly #options: FederatedStreamOptions & typeof DEFAULTS;
  #node: NodeOfRun | null;
  #connection: NodeConnection | null = null;
  #cursor: number;
  #fruitless = 0;
  #lastError: unknown = null;
  #knownEnded = false;
  #replicaHolds = false;
  #gapSinceMs: number | null = null;
  #emptyLooks = 0;
  #tryAgainAtMs = 0;
  #lastFrameMs = performance.now();

  constructor(run: FederatedRun, options: FederatedStreamOptions) {
    this.#run = run;
    this.#options = { ...DEFAULTS, ...options };
    this.#node = run.node;
    // A node elsewhere may count from 0, and what was copied from it begins there.
    this.#cursor = options.after ?? (run.node === null ? -1 : 0);
  }

  async begin(): Promise<void> {
    const { signal, maxAttempts } = this.#options;
    if (this.#node === null) {
      await this.#lookAtReplica();
      if (this.#replicaHolds) return;
      throw this.#run.unreachable ?? new AgentOsError('not_found', { message: `There is no run ${this.#run.runId}.`, details: { run_id: this.#run.runId } });
    }
    for (;;) {
      await this.#connect();
      if (this.#connection !== null || this.#replicaHolds || signal.aborted) return;
      if (this.#fruitless >= maxAttempts) throw this.#lastError;
      await sleepUntil(this.#pauseMs(), signal);
    }
  }

  async *frames(): AsyncGenerator<SseFrame, void, undefined> {
    const { signal } = this.#options;
    try {
      while (!signal.aborted) {
        const outcome = this.#connection === null ? yield* this.#fromReplica() : yield* this.#fromNode(this.#connection);
        if (outcome === 'done') return;
        if (outcome === 'lost' || signal.aborted) continue;
        if (this.#node === null) {
          yield* this.#rest(this.#options.gapGraceMs);
          continue;
        }
        if (this.#fruitless >= this.#options.maxAttempts && !this.#replicaHolds) {
          if (this.#knownEnded) return;
          throw this.#lastError ?? new AgentOsError('dependency_unavailable', { message: `The node of run ${this.#run.runId} ends its stream without a word.`, details: { reason: 'peer_events_ended' } });
        }
        const pauseMs = this.#pauseMs();
        if (pauseMs > 0) yield* this.#rest(pauseMs);
        else await this.#connect();
      }
    } finally {
      this.#connection?.close();
    }
  }

  async *#fromNode(connection: NodeConnection): AsyncGenerator<SseFrame, Outcome, undefined> {
    const openedAtMs = performance.now();
    let brought = 0;
    let error: unknown = null;
    try {
      for (;;) {
        const arrival = await connection.next(this.#quietMs());
        if (arrival === 'closed') break;
        if (arrival === 'quiet') {
          yield this.#keptAlive();
          continue;
        }
        const { event } = arrival;
        if (event.sequence > this.#cursor) {
          brought += 1;
          yield this.#told(event);
        }
        if (isTerminal(event)) return 'done';
      }
    } catch (thrown) {
      error = thrown;
    } finally {
      connection.close();
      this.#connection = null;
    }
    if (this.#options.signal.aborted) return 'done';
    this.#fruitless = brought > 0 || performance.now() - openedAtMs >= FRUITFUL_MS ? 0 : this.#fruitless + 1;
    if (error === null && brought === 0) this.#knownEnded ||= await this.#asksWhetherEnded();
    await this.#lost(error);
    return 'lost';
  }

  /** As far as it reaches without a gap, unless nobody else could fill the gap and it was waited for. */
  async *#fromReplica(): AsyncGenerator<SseFrame, Outcome, undefined> {
    for (;;) {
      const page = await this.#page();
      let told = 0;
      for (const event of page) {
        if (event.sequence > Math.max(this.#cursor, 0) + 1 && !this.#passesGap()) break;
        this.#gapSinceMs = null;
        told += 1;
        yield this.#told(event);
        if (isTerminal(event)) return 'done';
      }
      if (told > 0) continue;
      if (page.length > 0 || this.#run.replica === null) return 'exhausted';
      this.#emptyLooks += 1;
      const ended = this.#emptyLooks % LOOKS_BETWEEN_EXTENTS === 1 && (await this.#extent())?.ended === true;
      return ended ? 'done' : 'exhausted';
    }
  }

  #passesGap(): boolean {
    if (this.#node !== null) return false;
    this.#gapSinceMs ??= performance.now();
    return performance.now() - this.#gapSinceMs >= this.#options.gapGraceMs;
  }

  async #page(): Promise<readonly WireEvent[]> {
    const { replica } = this.#run;
    if (replica === null) return [];
    try {
      return await replica.read({ sequence: this.#cursor, limit: this.#options.pageSize });
    } catch (error) {
      // With a node to ask, what is kept here is a help and not the source.
      if (this.#node === null) throw error;
      return [];
    }
  }

  async #extent(): Promise<ReplicaExtent | null> {
    try {
      return (await this.#run.replica?.extent()) ?? null;
    } catch (error) {
      if (this.#node === null) throw error;
      return null;
    }
  }

  async #lookAtReplica(): Promise<void> {
    this.#replicaHolds = (await this.#extent()) !== null;
  }

  async #connect(): Promise<void> {
    const { signal } = this.#options;
    const after = Math.max(0, this.#knownEnded ? this.#cursor - 1 : this.#cursor);
    try {
      this.#connection = await NodeConnection.open(this.#node!, this.#run, after, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#fruitless += 1;
      await this.#lost(error);
    }
  }

  /** @throws AgentOsError what the node refused for good, where nothing is kept here. */
  async #lost(error: unknown): Promise<void> {
    if (error !== null) this.#options.onLost(error);
    this.#lastError = error ?? this.#lastError;
    this.#tryAgainAtMs = performance.now() + this.#backoffMs();
    await this.#lookAtReplica();
    if (!(error instanceof AgentOsError)) {
      if (error !== null) throw error;
    } else if (!error.retryable) {
      if (!this.#replicaHolds) throw error;
      this.#node = null;
    }
  }

  async #asksWhetherEnded(): Promise<boolean> {
    try {
      return await this.#node!.hasEnded(this.#options.signal);
    } catch (error) {
      this.#lastError = error;
      return false;
    }
  }

  /** Until the node is to be asked again. */
  #pauseMs(): number {
    return this.#tryAgainAtMs - performance.now();
  }

  /** Ends early when something new may be kept here. */
  async *#rest(ms: number): AsyncGenerator<SseFrame, void, undefined> {
    const { signal } = this.#options;
    const untilMs = performance.now() + ms;
    for (let leftMs = ms; leftMs > 0 && !signal.aborted; leftMs = untilMs - performance.now()) {
      const waitMs = Math.min(leftMs, this.#quietMs());
      if (waitMs <= 0) {
        yield this.#keptAlive();
        continue;
      }
      const { replica } = this.#run;
      if (replica === null || !this.#replicaHolds) await sleepUntil(waitMs, signal);
      else if (await within(waitMs, signal, (bounded) => replica.waitForMore(bounded))) return;
    }
  }

  #told(event: WireEvent): SseFrame {
    this.#cursor = event.sequence;
    this.#lastFrameMs = performance.now();
    return frameOf(event);
  }

  #keptAlive(): SseFrame {
    this.#lastFrameMs = performance.now();
    return KEEP_ALIVE;
  }

  #quietMs(): number {
    return Math.max(0, this.#options.keepAliveMs - (performance.now() - this.#lastFrameMs));
  }

  /** The first time at once: most connections end because a server restarts or a proxy is impatient. */
  #backoffMs(): number {
    const { baseBackoffMs, maxBackoffMs, random } = this.#options;
    if (this.#fruitless < 2) return 0;
    return Math.min(maxBackoffMs, baseBackoffMs * 2 ** (this.#fruitless - 2)) * (0.5 + random() / 2);
  }
}
