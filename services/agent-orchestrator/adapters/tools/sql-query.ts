/**
 * tool.sql.query: one statement that reads, on a source that the node's operator has set up for this tenant. Parameters
 * are bound, never written into the text; the server refuses a second statement, because the text goes to it as a
 * prepared one.
 */
import pg from 'pg';
import { AgentOsError } from '../../../platform/errors.ts';
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import type { BuiltinTool } from './builtin-tool.ts';
import type { SqlSource, SqlSources } from './sql-sources.ts';

/** Of the rows as JSON: the answer goes into a prompt. */
const MAX_BYTES = 64 * 1024;

interface Input {
  readonly source: string;
  readonly sql: string;
  readonly parameters?: readonly (string | number | boolean | null)[];
}

interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
}

const inputSchema = (sources: readonly string[] | null): Readonly<Record<string, unknown>> => ({
  type: 'object',
  properties: {
    source: { type: 'string', minLength: 1, maxLength: 64, ...(sources === null ? {} : { enum: sources }), description: 'The database.' },
    sql: { type: 'string', minLength: 1, maxLength: 20_000, description: 'One statement in PostgreSQL that reads; parameters as $1, $2, …' },
    parameters: { type: 'array', maxItems: 100, items: { type: ['string', 'number', 'boolean', 'null'] }, description: 'Values of $1, $2, …' },
  },
  required: ['source', 'sql'],
  additionalProperties: false,
});

export const sqlQueryTool = (sources: SqlSources): BuiltinTool => ({
  toolId: 'tool.sql.query',
  name: 'sql_query',
  description: 'Runs one SQL statement that reads, and returns its columns and rows.',
  inputSchema: inputSchema(null),
  outputSchema: {
    type: 'object',
    properties: { columns: { type: 'array', items: { type: 'string' } }, rows: { type: 'array', items: { type: 'array' } }, row_count: { type: 'integer' }, truncated: { type: 'boolean' } },
    required: ['columns', 'rows', 'row_count', 'truncated'],
  },
  sideEffects: false,
  forTenant(auth) {
    const allowed = sources.allowedTo(auth);
    if (allowed.length === 0) return null;
    const names = allowed.map(({ name }) => name);
    return { description: `Runs one SQL statement that reads, and returns its columns and rows. Databases: ${names.join(', ')}.`, inputSchema: inputSchema(names) };
  },
  async run(auth, input, signal) {
    const { source: name, sql, parameters = [] } = input as Input;
    const source = allowedSource(sources, auth, name);
    const client = await sources.connect(source);
    let broken = true;
    try {
      const onAbort = (): void => void (client as unknown as { connection?: { stream: { destroy(): void } } }).connection?.stream.destroy();
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      try {
        await client.query('BEGIN READ ONLY');
        const answer = await readRows(client, source, sql, parameters);
        // A statement that was cut off still sends: its connection is not kept.
        if (!answer.truncated) {
          await client.query('ROLLBACK');
          await client.query('DISCARD ALL');
          broken = false;
        }
        return { columns: answer.columns, rows: answer.rows, row_count: answer.rows.length, truncated: answer.truncated };
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    } catch (error) {
      throw asToolError(source, error);
    } finally {
      client.release(broken);
    }
  },
});

function allowedSource(sources: SqlSources, auth: AuthContext, name: string): SqlSource {
  const allowed = sources.allowedTo(auth);
  const source = allowed.find((one) => one.name === name);
  if (source !== undefined) return source;
  throw new AgentOsError('not_found', { message: `There is no source ${name}. There are: ${allowed.map((one) => one.name).join(', ')}.`, details: { source: name } });
}

/** Rows as they come, until there are enough. */
function readRows(client: pg.PoolClient, source: SqlSource, sql: string, parameters: readonly unknown[]): Promise<Rows> {
  return new Promise((resolve, reject) => {
    const rows: unknown[][] = [];
    let bytes = 0;
    let columns: readonly string[] = [];
    const query = client.query(new pg.Query({ text: sql, values: [...parameters], rowMode: 'array', queryMode: 'extended' } as pg.QueryConfig & { queryMode: string }));
    query.on('row', (row: unknown, result) => {
      columns = result?.fields.map((field) => field.name) ?? columns;
      const plain = (row as unknown[]).map(plainValue);
      bytes += Buffer.byteLength(JSON.stringify(plain));
      if (rows.length < source.maxRows && bytes <= MAX_BYTES) rows.push(plain);
      else resolve({ columns, rows, truncated: true });
    });
    query.on('end', (result) => resolve({ columns: result.fields?.map((field) => field.name) ?? columns, rows, truncated: false }));
    query.on('error', reject);
  });
}

function plainValue(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  return value === undefined ? null : value;
}

function asToolError(source: SqlSource, error: unknown): AgentOsError {
  if (error instanceof AgentOsError) return error;
  const { code = '', message = '', position } = error as { code?: string; message?: string; position?: string };
  const details = { source: source.name, ...(code === '' ? {} : { sqlstate: code }), ...(position === undefined ? {} : { position: Number(position) }) };
  if (code === '25006') return new AgentOsError('forbidden', { message: `Only statements that read are run: ${message}.`, details });
  if (code === '42501') return new AgentOsError('forbidden', { message: `The source does not permit that: ${message}.`, details });
  if (code === '57014') return new AgentOsError('timeout', { message: `The statement took more than ${source.timeoutMs} ms.`, retryable: false, details });
  // What the statement itself is to blame for; the server says it best.
  if (/^(0A|21|22|26|2[0-9B-F]|3[0-9BDF]|42|44|54|P0)/.test(code)) return new AgentOsError('invalid_request', { message: `PostgreSQL refuses the statement: ${message}.`, details });
  return new AgentOsError('dependency_unavailable', { message: `The source ${source.name} did not answer.`, details, cause: error });
}
