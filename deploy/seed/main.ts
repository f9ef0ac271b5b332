/**
 * Makes a database what a node in containers begins with, by the code that `agentos up` uses: brings the schemas of the
 * directory and of Agent Orchestrator up to date, then in demo and dev seeds the demo tenant (Appendix H) and makes the
 * API keys of dev, in prod makes the operator's first key unless an issuer or a key is there. Repeating it changes
 * nothing. Keys are written below AGENTOS_HOME/secrets and nowhere else; `--show-keys` prints them to whoever runs it.
 *
 * A container that ends well says that the services may start: in prod they refuse to while nobody could be recognised.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { migrations, SCHEMA } from '../../services/agent-orchestrator/adapters/migrations/index.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../../services/platform/audit/audit-migrations.ts';
import { migrate } from '../../services/platform/db/migrate.ts';
import { createLogger } from '../../services/platform/telemetry/logger.ts';
import { DIRECTORY_SCHEMA, directoryMigrations } from '../../services/platform/tenancy/directory-migrations.ts';
import { CliError, EXIT } from '../../scripts/lib/errors.ts';
import { ensureFirstKey } from '../../scripts/lib/first-key.ts';
import { apiKeyFile } from '../../scripts/lib/identity.ts';
import { readSecretReferences } from '../../scripts/lib/secret-references.ts';
import { readSeeded } from '../../scripts/lib/seeded.ts';
import { seedNode } from '../../scripts/lib/seeding.ts';
import { loadSettings, placesOf, type Settings } from '../../scripts/lib/settings.ts';

const DATABASE_WAIT_MS = 60_000;

async function main(showKeys: boolean): Promise<void> {
  await readSecretReferences(placesOf().envFile);
  const settings = loadSettings();
  const { databaseUrl } = settings;
  if (databaseUrl === null) throw new CliError('DATABASE_URL is not set', { exitCode: EXIT.configuration, next: 'name the database: DATABASE_URL_FILE=/run/secrets/...' });
  for (const folder of ['secrets', 'state']) mkdirSync(path.join(settings.home, folder), { recursive: true, mode: 0o700 });
  await migrateAll(databaseUrl);
  const first = await ensureFirstKey(settings, databaseUrl);
  const said = await seedNode(settings, databaseUrl, () => undefined);
  process.stderr.write(`Mode ${settings.mode}: ${said}${first === null ? '' : `; ${first}`}.\n`);
  process.stdout.write(`${JSON.stringify({ seeded: settings.mode === 'prod' ? null : readSeeded(settings.home), ...(showKeys ? { keys: keysOf(settings) } : {}) })}\n`);
}

async function migrateAll(url: string): Promise<void> {
  const log = createLogger({ service: 'agent-orchestrator', level: 'info', destination: process.stderr });
  const deadline = performance.now() + DATABASE_WAIT_MS;
  for (;;) {
    try {
      await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations, log });
      await migrate({ url, schema: DIRECTORY_SCHEMA, migrations: directoryMigrations, log });
      await migrate({ url, schema: SCHEMA, migrations, log });
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== 'dependency_unavailable' || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

function keysOf(settings: Settings): Readonly<Record<string, string>> {
  const files = (['tenant', 'platform'] as const).map((role) => [role, apiKeyFile(settings.home, role)] as const).filter(([, file]) => existsSync(file));
  return Object.fromEntries(files.map(([role, file]) => [role, readFileSync(file, 'utf8').trim()]));
}

try {
  const { values } = parseArgs({ options: { 'show-keys': { type: 'boolean', default: false } }, strict: true });
  await main(values['show-keys']);
} catch (error) {
  const { code, message, exitCode, evidence = [], next = null } = error as NodeJS.ErrnoException & Partial<CliError>;
  process.stderr.write([`Seeding failed: ${message}`, ...evidence.map((line) => `  ${line}`), ...(next === null ? [] : [`  next: ${next}`]), ''].join('\n'));
  process.exit(code?.startsWith('ERR_PARSE_ARGS') === true ? EXIT.usage : (exitCode ?? (code === 'dependency_unavailable' ? EXIT.dependency : EXIT.gate)));
}
