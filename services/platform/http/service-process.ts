/** What every service's `main.ts` does: flags, configuration with its secrets, logger, and then the service until it is told to stop. */
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { SERVICE_VERSION } from '../build-info.ts';
import { ConfigError, type Config } from '../config/load.ts';
import type { VariableName } from '../config/variables.ts';
import { openConfig } from '../secrets/open-config.ts';
import { createLogger } from '../telemetry/logger.ts';
import { EXIT, runService, type RunningService } from './lifecycle.ts';

export interface ServiceProcess {
  readonly service: 'agent-orchestrator' | 'model-policy' | 'federation';
  /** Command line flags, by the variables that they set. */
  readonly flags: Readonly<Record<string, VariableName>>;
  compose(config: Config, log: Logger): Promise<RunningService>;
}

/** Ends the process with 2 for a flag that there is not, with the configuration's code for one that cannot be used. */
export async function runServiceProcess({ service, flags, compose }: ServiceProcess): Promise<void> {
  try {
    const { values } = parseArgs({ options: Object.fromEntries(Object.keys(flags).map((flag) => [flag, { type: 'string' as const }])), strict: true });
    const config = await openConfig({ service, flags: Object.fromEntries(Object.entries(flags).map(([flag, variable]) => [variable, values[flag] as string | undefined])) });
    const log = createLogger({ service, version: SERVICE_VERSION, level: config.values.AGENTOS_LOG_LEVEL });
    config.secrets.attach({ log });
    for (const warning of config.warnings) log.warn(warning);
    await runService(log, () => compose(config, log));
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    const badFlag = code?.startsWith('ERR_PARSE_ARGS') === true;
    if (!badFlag && !(error instanceof ConfigError)) throw error;
    process.stderr.write(`${message}\n`);
    process.exit(badFlag ? EXIT.usage : (error as ConfigError).exitCode);
  }
}
