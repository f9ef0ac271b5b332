/** JSON logs on stdout, one object a line: `time`, `level`, `service`, `version`, `msg`, and what the line is about. */
import { pino, type DestinationStream, type Logger } from 'pino';

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
const SECRET_MEMBERS = [
  'authorization', 'Authorization', 'cookie', 'x-api-key', 'X-API-Key', 'api_key', 'apiKey', 'password', 'secret',
  'secret_hash', 'secretHash', 'token', 'access_token', 'connectionString', 'DATABASE_URL', 'OPENAI_API_KEY',
];
const REDACTED = SECRET_MEMBERS.flatMap((name) => {
  const member = name.includes('-') ? `["${name}"]` : `.${name}`;
  return [member.replace(/^\./, ''), `*${member}`, `*.*${member}`];
});

/**
 * The logger of a service. Bind what a line belongs to with `log.child({ tenant_id, run_id, correlation_id, trace_id })`
 * so that every line about a run can be found by any of them.
 */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service, ...(options.version === undefined ? {} : { version: options.version }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
