/** The process of Agent Orchestrator: `main.ts [--role api|worker|all] [--port 50081] [--host 127.0.0.1]`. Everything else is configuration. */
import { parseArgs } from 'node:util';
import { SERVICE_VERSION } from '../platform/build-info.ts';
import { ConfigError } from '../platform/config/load.ts';
import { runService } from '../platform/http/lifecycle.ts';
import { openConfig } from '../platform/secrets/open-config.ts';
import { createLogger } from '../platform/telemetry/logger.ts';
import { compose } from './compose.ts';

const { values: flags } = parseArgs({ options: { role: { type: 'string' }, port: { type: 'string' }, host: { type: 'string' } }, strict: true });

try {
  const config = await openConfig({ service: 'agent-orchestrator', flags: { AGENTOS_ROLE: flags.role, AGENTOS_PORT: flags.port, AGENTOS_HOST: flags.host } });
  const log = createLogger({ service: 'agent-orchestrator', version: SERVICE_VERSION, level: config.values.AGENTOS_LOG_LEVEL });
  config.secrets.attach({ log });
  for (const warning of config.warnings) log.warn(warning);
  await runService(log, () => compose(config, log));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitCode);
}
