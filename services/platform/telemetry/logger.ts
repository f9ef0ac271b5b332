/** JSON logs on stdout, one object a line: `time`, `level`, `service`, `version`, `msg`, and what the line is about. */
import { pino, symbols, type Bindings, type ChildLoggerOptions, type DestinationStream, type Logger } from 'pino';
import { LineOutput } from './line-output.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LoggerOptions {
  /** e.g. `agent-orchestrator`. */
  readonly service: string;
  readonly version?: string;
  /** `info` when absent. */
  readonly level?: LogLevel;
  /** stdout when absent. */
  readonly destination?: DestinationStream;
}

/** Members that must never reach a log, wherever callers put an object that has them. */
const SECRET_MEMBERS: ReadonlySet<string> = new Set([
  'authorization', 'Authorization', 'cookie', 'x-api-key', 'X-API-Key', 'api_key', 'apiKey', 'password', 'secret',
  'secret_hash', 'secretHash', 'token', 'access_token', 'connectionString', 'DATABASE_URL', 'OPENAI_API_KEY',
]);
/** A line's own members and two levels below. */
const DEPTH = 3;

/**
 * The object itself where it holds no secret, else a copy without. pino's own `redact` looks for every path in every
 * line, which costs a line some 200 µs at this many; one walk over what is there costs a hundredth.
 */
function withoutSecrets<Line extends object>(line: Line, depth = DEPTH): Line {
  let copy: Record<string, unknown> | null = null;
  for (const [name, member] of Object.entries(line)) {
    const shown: unknown = SECRET_MEMBERS.has(name) ? '[redacted]' : depth > 1 && isWalkable(member) ? withoutSecrets(member, depth - 1) : member;
    if (shown === member || member === undefined) continue;
    copy ??= (Array.isArray(line) ? [...line] : { ...line }) as Record<string, unknown>;
    copy[name] = shown;
  }
  return (copy as Line | null) ?? line;
}

let stampedMs = 0;
let stamp = '';

/** Many lines share a millisecond. */
function timestamp(): string {
  const now = Date.now();
  if (now !== stampedMs) {
    stampedMs = now;
    stamp = `,"time":"${new Date(now).toISOString()}"`;
  }
  return stamp;
}

/** What has a form of its own in JSON (dates, buffers, URLs) is a value; errors are put into words by their serializer. */
function isWalkable(member: unknown): member is object {
  return typeof member === 'object' && member !== null && !(member instanceof Error) && typeof (member as { toJSON?: unknown }).toJSON !== 'function';
}

/**
 * The logger of a service. Bind what a line belongs to with `log.child({ tenant_id, run_id, correlation_id, trace_id })`
 * so that every line about a run can be found by any of them.
 */
export function createLogger(options: LoggerOptions): Logger {
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service, ...(options.version === undefined ? {} : { version: options.version }) },
      timestamp,
      formatters: { level: (label) => ({ level: label }), log: (line) => withoutSecrets(line) },
      serializers: { err: (error: Error) => withoutSecrets(pino.stdSerializers.err(error)) },
    },
    options.destination ?? new LineOutput(1),
  );
  // What a child is bound to passes no formatter. Children inherit this member, and so do theirs.
  const child = logger.child as (this: unknown, bindings: Bindings, more?: ChildLoggerOptions) => unknown;
  logger.child = function (this: unknown, bindings: Bindings, more?: ChildLoggerOptions) {
    return child.call(this, withoutSecrets(bindings), more);
  } as typeof logger.child;
  return logger;
}

/**
 * A line at level info for those who write one with every request, without the search for secrets that other lines get:
 * only for members that are fixed and hold none.
 *
 * @param members as JSON, each followed by a comma: `"attempts":1,"outcome":"ok",`
 */
export function writePlainLine(log: Logger, members: string, message: string): void {
  if (!log.isLevelEnabled('info')) return;
  const inside = log as unknown as { readonly [symbols.streamSym]: DestinationStream; readonly [symbols.chindingsSym]: string };
  const output = inside[symbols.streamSym];
  const line = `{"level":"info"${timestamp()}${inside[symbols.chindingsSym]},${members}"msg":${quoted(message)}}\n`;
  if (output instanceof LineOutput) output.writeFrequent(line);
  else output.write(line);
}

const NEEDS_NO_ESCAPE = /^[ !#-[\]-~]*$/;

/** A text in JSON. */
export function quoted(text: string): string {
  return NEEDS_NO_ESCAPE.test(text) ? `"${text}"` : JSON.stringify(text);
}
