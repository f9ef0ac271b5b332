/**
 * Hints between the processes of a node, over any channel that reaches them all (LISTEN and NOTIFY, NATS).
 *
 * A hint wakes this process at once and is sent to the others a moment later, together with all that gathered
 * meanwhile. What is lost (a channel that reconnects, a message that cannot be sent) costs one poll, so a channel may
 * fail for as long as it likes.
 *
 * A process that is alone sends no hints at all. Processes find each other by the same channel: each says that it is
 * here when it connects and every ten seconds after; whoever has heard of nobody for half a minute is alone.
 */
import type { Logger } from 'pino';
import { newId } from '../../platform/ids.ts';
import { EventTail } from './event-tail.ts';
import { WakeHub, runKey } from './wake-hub.ts';

export interface HintChannel {
  /** Rejects when the message cannot be sent; it is not sent again. */
  send(message: string): Promise<void>;
  close(): Promise<void>;
}

export interface HintReceiver {
  /** A message of any process, this one included. */
  received(message: string): void;
  /** The channel is there (again): messages may have been missed. */
  connected(): void;
}

export interface RunWakeOptions {
  readonly open: (receiver: HintReceiver) => HintChannel;
  /** False: nobody can be heard, so nobody can be known to be absent. */
  readonly hears?: boolean;
  /** Time in which hints gather. */
  readonly coalesceMs: number;
  readonly maxMessageBytes: number;
  readonly log?: Logger | undefined;
}

const PRESENCE_MS = 10_000;
const ALONE_AFTER_MS = 30_000;

interface WakeMessage {
  /** The sender, which has woken its own waiters already. */
  readonly from: string;
  /** Wants to be answered, so that it knows at once who else is here. */
  readonly hello?: true;
  readonly work?: true;
  /** [tenant, run, newest sequence] */
  readonly runs?: readonly (readonly [string, string, number])[];
}

export class RunWake {
  /** What this process wrote last; see there. */
  readonly tail = new EventTail();
  readonly #hub = new WakeHub();
  readonly #from = newId('wrk');
  readonly #options: RunWakeOptions;
  readonly #channel: HintChannel;
  #work = false;
  #runs = new Map<string, [string, string, number]>();
  /** Takes back the sending that is to come; null: none is. */
  #unschedule: (() => void) | null = null;
  #sending: Promise<void> = Promise.resolve();
  #closed = false;
  #sentMs = Number.NEGATIVE_INFINITY;
  #othersUntil = 0;
  readonly #presence: NodeJS.Timeout | null;
  readonly #elsewhere = new Set<(tenantId: string, runId: string, lastSequence: number) => void>();

  constructor(options: RunWakeOptions) {
    this.#options = options;
    this.#channel = options.open({
      received: (message) => this.#receive(message),
      connected: () => {
        this.#hub.wakeAll();
        this.#say({ from: this.#from, hello: true });
      },
    });
    const hears = options.hears ?? true;
    this.#presence = hears ? setInterval(() => this.#say({ from: this.#from }), PRESENCE_MS) : null;
    this.#presence?.unref();
    if (!hears) this.#othersUntil = Number.POSITIVE_INFINITY;
  }

  announceWork(): void {
    this.#hub.signalWork();
    if (this.#alone()) return;
    this.#work = true;
    this.#schedule();
  }

  announceRun(tenantId: string, runId: string, lastSequence: number): void {
    const key = runKey(tenantId, runId);
    this.#hub.signalRun(key, lastSequence);
    if (this.#alone()) return;
    this.#runs.set(key, [tenantId, runId, lastSequence]);
    this.#schedule();
  }

  /** Tells of runs that other processes announce, until the returned function is called. */
  onWrittenElsewhere(listener: (tenantId: string, runId: string, lastSequence: number) => void): () => void {
    this.#elsewhere.add(listener);
    return () => this.#elsewhere.delete(listener);
  }

  workSeen(): void {
    this.#hub.workSeen();
  }

  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#hub.waitForWork(maxWaitMs, signal);
  }

  waitForRun(tenantId: string, runId: string, after: number, maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#hub.waitForRun(runKey(tenantId, runId), after, maxWaitMs, signal);
  }

  /** The newest sequence that this process has heard of; 0 when it has heard of none lately. */
  announced(tenantId: string, runId: string): number {
    return this.#hub.announced(runKey(tenantId, runId));
  }

  /** Waiters in this process, for leak checks. */
  get waiting(): number {
    return this.#hub.waiting;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unschedule?.();
    if (this.#presence !== null) clearInterval(this.#presence);
    await this.#sending;
    await this.#channel.close();
  }

  /** The first hint after a quiet moment goes at once, with what the same tick has; only those that follow it gather. */
  #schedule(): void {
    if (this.#unschedule !== null || this.#closed) return;
    const send = (): void => {
      this.#unschedule = null;
      this.#sentMs = performance.now();
      this.#sending = this.#send(this.#take());
    };
    const waitMs = this.#sentMs + this.#options.coalesceMs - performance.now();
    if (waitMs > 0) {
      const timer = setTimeout(send, waitMs);
      this.#unschedule = () => clearTimeout(timer);
    } else {
      // No timer is shorter than a millisecond, which is a fifth of what a waiting worker needs to have the run.
      const soon = setImmediate(send);
      this.#unschedule = () => clearImmediate(soon);
    }
  }

  #alone(): boolean {
    return performance.now() > this.#othersUntil;
  }

  #say(message: WakeMessage): void {
    if (this.#closed) return;
    const before = this.#sending;
    this.#sending = before.then(() => this.#send([JSON.stringify(message)]));
  }

  async #send(messages: readonly string[]): Promise<void> {
    try {
      for (const message of messages) await this.#channel.send(message);
    } catch (error) {
      this.#options.log?.debug({ err: error }, 'Hints to other processes could not be sent; they will poll.');
    }
  }

  #take(): readonly string[] {
    const runs = [...this.#runs.values()];
    const work = this.#work;
    this.#runs = new Map();
    this.#work = false;
    const messages: string[] = [];
    let part: [string, string, number][] = [];
    let bytes = 0;
    const flush = (): void => {
      const message: WakeMessage = { from: this.#from, ...(work && messages.length === 0 ? { work: true as const } : {}), ...(part.length === 0 ? {} : { runs: part }) };
      messages.push(JSON.stringify(message));
      part = [];
      bytes = 0;
    };
    for (const run of runs) {
      const size = Buffer.byteLength(JSON.stringify(run)) + 1;
      if (bytes + size > this.#options.maxMessageBytes - 100) flush();
      part.push(run);
      bytes += size;
    }
    if (part.length > 0 || (work && messages.length === 0)) flush();
    return messages;
  }

  #receive(payload: string): void {
    let message: WakeMessage;
    try {
      message = JSON.parse(payload) as WakeMessage;
    } catch {
      // A sender of another version: look at everything.
      this.#hub.wakeAll();
      return;
    }
    if (message.from === this.#from) return;
    this.#othersUntil = performance.now() + ALONE_AFTER_MS;
    if (message.hello) this.#say({ from: this.#from });
    if (message.work) this.#hub.signalWork();
    for (const [tenantId, runId, lastSequence] of message.runs ?? []) {
      this.#hub.signalRun(runKey(tenantId, runId), lastSequence);
      for (const tell of this.#elsewhere) tell(tenantId, runId, lastSequence);
    }
  }
}
