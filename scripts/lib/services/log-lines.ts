/** Reads the services' logs: JSON lines from the services, plain lines from Postgres and from crashes. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'raw';

/** specs/schemas/cli/cli-log-line.schema.json */
export interface LogLine {
  readonly service: string;
  readonly time: string | null;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const PINO_LEVELS: Readonly<Record<number, LogLevel>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };
const POSTGRES_LEVELS: Readonly<Record<string, LogLevel>> = {
  DEBUG: 'debug', LOG: 'info', INFO: 'info', NOTICE: 'info', STATEMENT: 'info', DETAIL: 'info', HINT: 'info', WARNING: 'warn', ERROR: 'error', FATAL: 'fatal', PANIC: 'fatal',
};
/** Members that every line has and that say nothing to a person. */
const DULL = new Set(['level', 'time', 'msg', 'message', 'pid', 'hostname', 'service', 'name', 'v', 'version']);

export function parseLogLine(service: string, line: string): LogLine {
  const structured = line.startsWith('{') ? parseJson(line) : null;
  if (structured !== null) return fromJson(service, structured);
  const postgres = /^(\d{4}-\d{2}-\d{2} [\d:.]+) (?:UTC|GMT) \[\d+\] (\w+):\s+(.*)$/.exec(line);
  if (postgres !== null) {
    return { service, time: isoTime(`${postgres[1]!.replace(' ', 'T')}Z`), level: POSTGRES_LEVELS[postgres[2]!] ?? 'info', message: postgres[3]!, fields: {} };
  }
  return { service, time: null, level: 'raw', message: line, fields: {} };
}

function fromJson(service: string, row: Readonly<Record<string, unknown>>): LogLine {
  const { level, time } = row;
  const message = row['msg'] ?? row['message'] ?? '';
  return {
    service,
    time: typeof time === 'number' || typeof time === 'string' ? isoTime(time) : null,
    level: typeof level === 'number' ? PINO_LEVELS[level] ?? 'info' : knownLevel(level),
    message: typeof message === 'string' ? message : JSON.stringify(message),
    fields: Object.fromEntries(Object.entries(row).filter(([name]) => !DULL.has(name))),
  };
}

function knownLevel(level: unknown): LogLevel {
  return typeof level === 'string' && Object.values(PINO_LEVELS).includes(level as LogLevel) ? (level as LogLevel) : 'info';
}

function isoTime(value: number | string): string | null {
  const moment = new Date(value);
  return Number.isNaN(moment.getTime()) ? null : moment.toISOString();
}

function parseJson(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** `12:03:04.567 error  message  key=value`: one line of text for a person. */
export function formatLogLine(line: LogLine): string {
  const time = line.time === null ? ' '.repeat(12) : line.time.slice(11, 23);
  if (line.level === 'raw') return `${time}        ${line.message}`;
  const fields = Object.entries(line.fields).map(([name, value]) => formatField(name, value));
  return [time, line.level.padEnd(6), line.message, ...fields].join(' ').trimEnd();
}

function formatField(name: string, value: unknown): string {
  if (name === 'err' && typeof value === 'object' && value !== null) {
    const { type, message, code } = value as { type?: string; message?: string; code?: string };
    return `error="${[type, code, message].filter((part) => part !== undefined).join(' ')}"`;
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `${name}=${text.length > 160 ? `${text.slice(0, 157)}...` : text}`;
}

/** The last lines that tell why something failed: errors when there are any, else simply the last ones. */
export function relevantLines(service: string, text: string, count: number): readonly string[] {
  const lines = text.trimEnd().split('\n').filter((line) => line.trim() !== '').map((line) => parseLogLine(service, line));
  const serious = lines.filter((line) => ['error', 'fatal', 'raw'].includes(line.level));
  return (serious.length > 0 ? serious : lines).slice(-count).map(formatLogLine);
}
