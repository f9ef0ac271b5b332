/** The process of Federation: `main.ts [--port 50083] [--host 127.0.0.1]`. Everything else is configuration. */
import { parseArgs } from 'node:util';
import { SERVICE_VERSION } from '../platform/build-info.ts';
import { ConfigError } from '../platform/config/load.ts';
import { EXIT, runService } from '../platform/http/lifecycle.ts';
import { openConfig } from '../platform/secrets/open-config.ts';
import { createLogger } from '../platform/telemetry/logger.ts';
import { compose } from './compose.ts';

try {
  const { values: flags } = parseArgs({ options: { port: { type: 'string' }, host: { type: 'string' } }, strict: true });
  const config = await openConfig({ service: 'federation', flags: { AGENTOS_PORT: flags.port, AGENTOS_HOST: flags.host } });
  const log = createLogger({ service: 'federation', version: SERVICE_VERSION, level: config.values.AGENTOS_LOG_LEVEL });
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
