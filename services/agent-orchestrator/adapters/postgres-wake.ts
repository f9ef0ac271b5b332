/**
 * Hints between the processes of a node, over LISTEN and NOTIFY.
 *
 * A hint wakes this process at once and is sent to the others a moment later, together with all that gathered
 * meanwhile: a NOTIFY inside each transaction would serialise the commits. What is lost (a listener that reconnects,
 * a notification that cannot be sent) costs one poll.
 *
 * A process that is alone on its database sends no hints at all. Processes find each other by the same channel: each
 * says that it is here when it connects and every ten seconds after; whoever has heard of nobody for half a minute is
 * alone.
 */
import type pg from 'pg';
import { newId } from '../../platform/ids.ts';
import { listen, type Listener } from '../../platform/db/listener.ts';
import type { Logger } from 'pino';
import { EventTail } from './event-tail.ts';
import { WakeHub, runKey } from './wake-hub.ts';

export const WAKE_CHANNEL = 'agentos_orchestrator';

/** PostgreSQL refuses payloads of 8,000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_800;

export interface PostgresWakeOptions {
  readonly pool: pg.Pool;
  readonly url: string;
  /** Time in which hints gather. */
  readonly coalesceMs?: number;
  /** False hears nothing from other processes; for tests. */
  readonly listen?: boolean;
  readonly log?: Logger;
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

export class PostgresWake {
  /** What this process wrote last; see there. */
  readonly tail = new EventTail();
  readonly #hub = new WakeHub();
  readonly #from = newId('wrk');
  readonly #pool: pg.Pool;
  readonly #coalesceMs: number;
  readonly #listener: Listener | null;
  readonly #log: Logger | undefined;
  #work = false;
  #runs = new Map<string, [string, string, number]>();
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> = Promise.resolve();
  #closed = false;
  #othersUntil = 0;
  readonly #presence: NodeJS.Timeout | null;

  constructor(options: PostgresWakeOptions) {
    this.#pool = options.pool;
    this.#coalesceMs = options.coalesceMs ?? 10;
    this.#log = options.log;
    this.#listener =
      options.listen === false
        ? null
        : listen({
            url: options.url,
            applicationName: 'agentos-orchestrator-wake',
            channels: [WAKE_CHANNEL],
            onNotification: (_channel, payload) => this.#receive(payload),
            onConnect: () => {
              this.#hub.wakeAll();
              this.#say({ from: this.#from, hello: true });
            },
            ...(options.log === undefined ? {} : { log: options.log }),
          });
    this.#presence = this.#listener === null ? null : setInterval(() => this.#say({ from: this.#from }), PRESENCE_MS);
    this.#presence?.unref();
    // A process that hears nobody cannot know that it is alone.
    if (this.#listener === null) this.#othersUntil = Number.POSITIVE_INFINITY;
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

  workSeen(): void {
    this.#hub.workSeen();
  }

  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#hub.waitForWork(maxWaitMs, signal);
  }

  waitForRun(tenantId: string, runId: string, after: number, maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#hub.waitForRun(runKey(tenantId, runId), after, maxWaitMs, signal);
  }

  /** Waiters in this process, for leak checks. */
  get waiting(): number {
    return this.#hub.waiting;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#presence !== null) clearInterval(this.#presence);
    await this.#sending;
    await this.#listener?.close();
  }

  #schedule(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#sending = this.#send(this.#take());
    }, this.#coalesceMs);
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
      // Losing a hint in a crash costs a poll, so this transaction need not wait for the disk.
      for (const message of messages) {
        await this.#pool.query("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", [WAKE_CHANNEL, message]);
      }
    } catch (error) {
      this.#log?.debug({ err: error }, 'Hints to other processes could not be sent; they will poll.');
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
      if (bytes + size > MAX_PAYLOAD_BYTES - 100) flush();
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
    for (const [tenantId, runId, lastSequence] of message.runs ?? []) this.#hub.signalRun(runKey(tenantId, runId), lastSequence);
  }
}
