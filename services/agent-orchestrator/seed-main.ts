/** Seeds the database that DATABASE_URL names and prints the block of Appendix H as JSON on stdout. */
import { ConfigError } from '../platform/config/load.ts';
import { EXIT } from '../platform/http/lifecycle.ts';
import { openConfig } from '../platform/secrets/open-config.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { createLogger } from '../platform/telemetry/logger.ts';
import { seedNode } from './seed.ts';
import { openPostgresStores } from './stores.ts';

try {
  const config = await openConfig({ service: 'agent-orchestrator', follow: false });
  const log = createLogger({ service: 'agent-orchestrator', level: 'warn', destination: process.stderr });
  const stores = await openPostgresStores(config, log, createMetrics({ service: 'seed', process: false }), { listen: false });
  try {
    process.stdout.write(`${JSON.stringify({ seeded: await seedNode(stores.directory, stores.agents) })}\n`);
  } finally {
    await stores.close();
  }
} catch (error) {
  process.stderr.write(`Seeding failed: ${(error as Error).message}\n`);
  process.exit(error instanceof ConfigError ? error.exitCode : EXIT.failed);
}
