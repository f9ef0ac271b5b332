/**
 * Hints over NATS JetStream, for a node of many processes: a hint costs Postgres nothing, and those that were sent
 * while a process was reconnecting reach it afterwards.
 *
 * All hints stand in one stream in NATS's memory, for half a minute; each process reads it with an ordered consumer of
 * its own. A process that comes back goes on where it was, as long as the stream still has that place; else it looks at
 * everything once. A subject belongs to one database, so that several nodes may share a NATS server.
 *
 * NATS is never asked for truth: runs, leases and events are in Postgres, and every waiter polls. A NATS that is away,
 * at the start or later, slows the node down to its polls; this module goes on trying until it is back.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeliverPolicy, DiscardPolicy, JetStreamApiCodes, JetStreamApiError, RetentionPolicy, StorageType, jetstream, jetstreamManager, type ConsumerMessages, type JetStreamClient, type StreamInfo } from '@nats-io/jetstream';
import { connect, nanos, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { RunWake, type HintChannel, type HintReceiver } from './run-wake.ts';

const STREAM = 'AGENTOS_HINTS';
const SUBJECTS = 'agentos.hints.>';
const KEEP_MS = 30_000;
const MAX_STREAM_BYTES = 64 * 1024 * 1024;
/** NATS takes messages of a megabyte; small ones are heard sooner. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const ACK_LIMIT_MS = 1_000;
const RETRY_MS = 500;

export interface NatsWakeOptions {
  /** e.g. `nats://127.0.0.1:4222`; several are separated by commas. */
  readonly url: string;
  /** Names the database that the hints are about (see `databaseScope`); asked until it answers. */
  readonly scope: () => Promise<string>;
  /** Time in which hints gather. */
  readonly coalesceMs?: number;
  /** Told whenever the connection comes or goes, for metrics. */
  readonly onConnected?: (connected: boolean) => void;
  readonly log?: Logger;
}

export class NatsWake extends RunWake {
  constructor(options: NatsWakeOptions) {
    super({ open: (receiver) => new NatsHints(options, receiver), coalesceMs: options.coalesceMs ?? 1, maxMessageBytes: MAX_MESSAGE_BYTES, log: options.log });
  }
}

/** The same for every process on this database, by whatever address it reaches it. */
export async function databaseScope(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ scope: string }>(
    "SELECT (SELECT system_identifier FROM pg_control_system())::text || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())::text AS scope",
  );
  return rows[0]!.scope;
}

/** A place in the stream. A stream that was made anew counts from one again, so its birth belongs to the place. */
interface Place {
  readonly created: string;
  readonly sequence: number;
}

class NatsHints implements HintChannel {
  readonly #options: NatsWakeOptions;
  readonly #receiver: HintReceiver;
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;
  #subject: string | null = null;
  #connection: NatsConnection | null = null;
  #stream: JetStreamClient | null = null;
  #place: Place | null = null;
  /** null until the first attempt is over. */
  #connected: boolean | null = null;

  constructor(options: NatsWakeOptions, receiver: HintReceiver) {
    this.#options = options;
    this.#receiver = receiver;
    this.#loop = this.#run();
  }

  async send(message: string): Promise<void> {
    if (this.#stream === null || this.#subject === null) throw new Error('NATS is not connected.');
    await this.#stream.publish(this.#subject, message, { timeout: ACK_LIMIT_MS });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection?.close();
    await this.#loop;
  }

  /** One round a connection. The client's own reconnection is off: each round finds out anew where it stands. */
  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      let error: unknown;
      try {
        await this.#round();
      } catch (thrown) {
        error = thrown;
      }
      this.#tell(false, error);
      this.#stream = null;
      await this.#connection?.close().catch(() => undefined);
      this.#connection = null;
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #round(): Promise<void> {
    const subject = (this.#subject ??= `agentos.hints.${await this.#options.scope()}`);
    const connection = await connect({ ...natsAddress(this.#options.url), name: 'agentos-orchestrator', reconnect: false, timeout: 3_000, pingInterval: 5_000, maxPingOut: 2 });
    this.#connection = connection;
    if (this.#closing.signal.aborted) return;
    const { created, messages, missed } = await this.#subscribe(connection, subject);
    void connection.closed().then(() => messages.stop());
    this.#tell(true);
    if (missed) this.#receiver.connected();
    for await (const message of messages) {
      this.#place = { created, sequence: message.seq };
      this.#receiver.received(message.string());
    }
  }

  /** Answers `missed` where hints may have passed that nobody can repeat. */
  async #subscribe(connection: NatsConnection, subject: string): Promise<{ readonly created: string; readonly messages: ConsumerMessages; readonly missed: boolean }> {
    const { created, state } = await ensureStream(connection);
    const place = this.#place;
    const known = place !== null && place.created === created && place.sequence + 1 >= state.first_seq && place.sequence <= state.last_seq;
    const sequence = known ? place.sequence : state.last_seq;
    this.#place = { created, sequence };
    this.#stream = jetstream(connection, { timeout: ACK_LIMIT_MS });
    const consumer = await this.#stream.consumers.get(STREAM, { filter_subjects: subject, deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1, inactive_threshold: nanos(KEEP_MS) });
    return { created, messages: await consumer.consume({ max_messages: 1_000, idle_heartbeat: 1_000, expires: 10_000 }), missed: !known };
  }

  #tell(connected: boolean, error?: unknown): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#options.onConnected?.(connected);
    if (this.#closing.signal.aborted) return;
    if (connected) this.#options.log?.info('Hints travel over NATS.');
    else this.#options.log?.warn({ err: error }, 'NATS cannot be used now; waiters poll until it can.');
  }
}

async function ensureStream(connection: NatsConnection): Promise<StreamInfo> {
  const { streams } = await jetstreamManager(connection, { checkAPI: false, timeout: 3_000 });
  try {
    return await streams.info(STREAM);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== JetStreamApiCodes.StreamNotFound) throw error;
  }
  // Several processes may do this at once: adding a stream that is there under the same settings succeeds.
  return streams.add({ name: STREAM, subjects: [SUBJECTS], retention: RetentionPolicy.Limits, storage: StorageType.Memory, discard: DiscardPolicy.Old, max_age: nanos(KEEP_MS), max_bytes: MAX_STREAM_BYTES, num_replicas: 1 });
}

/** The client takes hosts; user, password or token stand in the address by habit (`nats://user:password@host:4222`). */
export function natsAddress(url: string): Pick<NodeConnectionOptions, 'servers' | 'user' | 'pass' | 'token' | 'tls'> {
  const servers = url.split(',').map((part) => new URL(part.includes('://') ? part.trim() : `nats://${part.trim()}`));
  const { username, password } = servers.find((server) => server.username !== '') ?? { username: '', password: '' };
  const credentials = username === '' ? {} : password === '' ? { token: decodeURIComponent(username) } : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  return { servers: servers.map((server) => server.host), ...credentials, ...(servers.some((server) => server.protocol === 'tls:') ? { tls: {} } : {}) };
}
