/** From start to exit of a service process: signals, uncaught errors, exit codes. */
import type { Logger } from 'pino';
import { ConfigError } from '../config/load.ts';

export interface RunningService {
  /** Stops cleanly; must end within `STOP_DEADLINE_MS`. */
  close(): Promise<void>;
}

/** Exit codes of the CLI and of service processes. */
export const EXIT = { ok: 0, failed: 1, usage: 2, configuration: 3, dependency: 4, timeout: 5, interrupted: 130 } as const;

const STOP_DEADLINE_MS = 25_000;

/**
 * Runs a service until SIGTERM or SIGINT, then closes it and exits. A second signal exits at once. Errors that nobody
 * caught are logged and end the process: its state cannot be trusted, and leases make another process take over.
 */
export async function runService(log: Logger, main: () => Promise<RunningService>): Promise<void> {
  let service: RunningService | null = null;
  let stopping = false;

  const stop = async (why: string, code: number): Promise<void> => {
    if (stopping) process.exit(code === EXIT.ok ? EXIT.interrupted : code);
    stopping = true;
    log.info({ why }, 'Stopping.');
    setTimeout(() => {
      log.error('Stopping took longer than 25 s; exiting without finishing.');
      process.exit(EXIT.timeout);
    }, STOP_DEADLINE_MS).unref();
    try {
      await service?.close();
      log.info('Stopped.');
      process.exit(code);
    } catch (error) {
      log.error({ err: error }, 'Stopping failed.');
      process.exit(EXIT.failed);
    }
  };

  process.on('SIGTERM', () => void stop('SIGTERM', EXIT.ok));
  process.on('SIGINT', () => void stop('SIGINT', EXIT.ok));
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'An error was caught by nobody.');
    void stop('uncaught error', EXIT.failed);
  });
  process.on('unhandledRejection', (reason) => {
    log.fatal({ err: reason }, 'A rejection was handled by nobody.');
    void stop('unhandled rejection', EXIT.failed);
  });

  try {
    service = await main();
  } catch (error) {
    if (error instanceof ConfigError) log.fatal({ variable: error.variable }, error.message);
    else log.fatal({ err: error }, 'The service could not start.');
    process.exit(error instanceof ConfigError ? EXIT.configuration : EXIT.failed);
  }
}
