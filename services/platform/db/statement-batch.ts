/**
 * Statements of one moment, sent and answered together.
 *
 * pg sends a Sync behind each statement, also in pipeline mode, and the server answers each Sync with a packet of its
 * own: a transaction of five statements wakes its sender five times, and the server makes five system calls. Here one
 * Sync stands behind all statements that are issued without awaiting each other, and one packet answers them (PostgreSQL
 * manual, "Pipelining"). The server skips what stands behind a statement that failed, COMMIT included.
 *
 * The first time that a connection meets a statement it goes the driver's ordinary way, which prepares it.
 */
import pg from 'pg';

export type Parameter = string | number | null | readonly string[];

/** A statement with a name; equal names mean equal texts. */
export interface NamedStatement {
  readonly name: string;
  readonly text: string;
  readonly values?: readonly Parameter[];
}

export interface StatementSender {
  query<Row extends pg.QueryResultRow>(statement: NamedStatement): Promise<StatementAnswer<Row>>;
}

export interface StatementAnswer<Row extends pg.QueryResultRow = pg.QueryResultRow> {
  readonly rows: Row[];
  /** e.g. `UPDATE`; `ROLLBACK` is what COMMIT of a failed transaction answers. */
  readonly command: string;
}

interface Waiting {
  readonly statement: NamedStatement;
  readonly resolve: (answer: StatementAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/** What the driver offers to classes that speak the extended protocol (as pg-cursor does), beyond its declared types. */
interface Wire {
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly stream: { cork(): void; uncork(): void };
  bind(message: { statement: string; values: readonly (string | null)[] }): void;
  describe(message: { type: 'P'; name: string }): void;
  execute(message: object): void;
  sync(): void;
}

/** Reads the rows of a statement; null: it answers none. */
type RowReader = { parseRow(fields: unknown): pg.QueryResultRow; addFields(fields: unknown): void } | null;

/** By connection and name: what the server has described once, it need not describe again. */
const READERS = new WeakMap<Wire, Map<string, RowReader>>();

/** Sends what is issued until nothing more can be issued without an answer. */
export class StatementBatches implements StatementSender {
  readonly #client: pg.PoolClient;
  #gathered: Waiting[] = [];

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<Row extends pg.QueryResultRow>(statement: NamedStatement): Promise<StatementAnswer<Row>> {
    return new Promise((resolve, reject) => {
      this.#gathered.push({ statement, resolve: resolve as Waiting['resolve'], reject });
      // Behind everything that is already under way without the network.
      if (this.#gathered.length === 1) queueMicrotask(() => process.nextTick(() => this.#send()));
    });
  }

  #send(): void {
    const gathered = this.#gathered;
    this.#gathered = [];
    const { parsedStatements } = (this.#client as unknown as { connection: Wire }).connection;
    if (gathered.every(({ statement }) => parsedStatements[statement.name] === statement.text)) this.#client.query(new Batch(gathered));
    else for (const { statement, resolve, reject } of gathered) this.#client.query({ ...statement, values: [...(statement.values ?? [])] }).then(resolve, reject);
  }
}

class Batch extends pg.Query {
  readonly #waiting: readonly Waiting[];
  readonly #answers: (StatementAnswer | { readonly unreadable: unknown })[] = [];
  #readers: Map<string, RowReader> = new Map();
  #rows: pg.QueryResultRow[] = [];
  #unreadable: { readonly unreadable: unknown } | null = null;
  #settled = false;
  /** The driver's, for its own timeout. */
  declare callback?: (error: unknown) => void;

  constructor(waiting: readonly Waiting[]) {
    super('');
    this.#waiting = waiting;
  }

  override submit = (connection: unknown): void => {
    const wire = connection as Wire;
    this.#readers = READERS.get(wire) ?? new Map();
    READERS.set(wire, this.#readers);
    wire.stream.cork();
    for (const { statement } of this.#waiting) {
      wire.bind({ statement: statement.name, values: (statement.values ?? []).map(wireText) });
      if (!this.#readers.has(statement.name)) wire.describe({ type: 'P', name: '' });
      wire.execute({});
    }
    wire.sync();
    wire.stream.uncork();
  };

  get #name(): string {
    return this.#waiting[this.#answers.length]!.statement.name;
  }

  handleRowDescription(message: { readonly fields: unknown }): void {
    const reader = new (pg.Result as unknown as new () => NonNullable<RowReader>)();
    reader.addFields(message.fields);
    this.#readers.set(this.#name, reader);
  }

  handleDataRow(message: { readonly fields: unknown }): void {
    try {
      this.#rows.push(this.#readers.get(this.#name)!.parseRow(message.fields));
    } catch (error) {
      this.#unreadable ??= { unreadable: error };
    }
  }

  handleCommandComplete(message: { readonly text: string }): void {
    if (!this.#readers.has(this.#name)) this.#readers.set(this.#name, null);
    this.#answers.push(this.#unreadable ?? { rows: this.#rows, command: message.text.split(' ')[0]! });
    this.#rows = [];
    this.#unreadable = null;
  }

  handleReadyForQuery(): void {
    this.#settle(null);
  }

  /** Of a statement, or of the connection; what was complete before it stands. */
  handleError(error: unknown): void {
    this.#settle(error);
  }

  #settle(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.callback?.(error);
    for (const [index, { resolve, reject }] of this.#waiting.entries()) {
      const answer = this.#answers[index];
      if (answer === undefined) reject(error);
      else if ('unreadable' in answer) reject(answer.unreadable);
      else resolve(answer);
    }
  }
}

function wireText(value: Parameter): string | null {
  if (value === null || typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  return `{${value.map((item) => `"${item.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
}
