/** Brings Postgres and the services to readiness, touching only what is not as it should be. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { redact } from './redact.ts';
import { CliError, EXIT } from './errors.ts';
import { ensureFirstKey } from './first-key.ts';
import { signingKeyFile } from './identity.ts';
import { localIssuerFiles } from './local-issuer.ts';
import { ensurePostgres } from './postgres/index.ts';
import { SERVICES, type ServiceEntry } from './services/catalog.ts';
import { ensureService, type Ensured } from './services/control.ts';
import { rememberedModeFile, rememberedProfileFile, serviceEnvironment, type Settings } from './settings.ts';

export interface BootOptions {
  readonly signal: AbortSignal;
  readonly readyTimeoutMs: number;
}

export interface Booted {
  readonly databaseUrl: string;
  readonly detail: string;
  readonly services: ReadonlyArray<{ readonly service: ServiceEntry; readonly ensured: Ensured }>;
}

export async function bootNode(settings: Settings, options: BootOptions, tell: (detail: string) => void): Promise<Booted> {
  const database = await ensureDatabase(settings, tell);
  const localIssuer = localIssuerFiles(settings.home);
  if (settings.mode !== 'prod') await (await import('../../services/platform/auth/local-issuer.ts')).ensureLocalIssuer(localIssuer);
  const environment = serviceEnvironment(settings, { databaseUrlFile: settings.databaseUrl === null ? writeDatabaseUrl(settings.home, database.url) : null, signingKeyFile: signingKeyFile(settings.home), localIssuerFile: localIssuer.jwksFile });
  const firstKey = await ensureFirstKey(settings, database.url);
  if (firstKey !== null) tell(firstKey);
  writeFileSync(rememberedModeFile(settings.home), `${settings.mode}\n`);
  writeFileSync(rememberedProfileFile(settings.home), `${settings.profile}\n`);
  const services = await ensureServices(settings, environment, options, tell);
  const actions = [`postgres ${database.action}`, ...services.map(({ service, ensured }) => `${service.name} ${ensured.action}`)];
  return { databaseUrl: database.url, services, detail: actions.join(', ') };
}

/** All at once; where one cannot be started, the others are no longer waited for. */
async function ensureServices(settings: Settings, environment: Readonly<Record<string, string>>, options: BootOptions, tell: (detail: string) => void): Promise<Booted['services']> {
  let healthy = 0;
  const starting = new Set<string>();
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const ensureOne = async (service: ServiceEntry): Promise<Booted['services'][number]> => {
    const ensured = await ensureService(service, { ...options, home: settings.home, host: settings.host, port: settings.ports[service.name], tls: settings.tls, environment, starting, signal });
    healthy += 1;
    tell(`healthy ${healthy}/${SERVICES.length}: ${service.name} ${ensured.action}`);
    return { service, ensured };
  };
  const outcomes = await Promise.allSettled(SERVICES.map((service) => ensureOne(service).catch((error: unknown) => {
    failed.abort(error);
    throw error;
  })));
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}

/** Services are given it as a file: environments are read by more than the process they are for. */
function writeDatabaseUrl(home: string, url: string): string {
  const file = path.join(home, 'secrets', 'database-url');
  writeFileSync(file, `${url}\n`, { mode: 0o600 });
  return file;
}

/** The address the services get: the user's own server, or the embedded one, started. */
export async function ensureDatabase(settings: Settings, tell: (detail: string) => void): Promise<{ readonly url: string; readonly action: string }> {
  if (settings.databaseUrl !== null) {
    await askDatabase(settings.databaseUrl);
    return { url: settings.databaseUrl, action: 'external' };
  }
  tell('looking for the embedded Postgres, or starting it');
  const server = await ensurePostgres({ home: settings.home, port: settings.postgresPort });
  tell(`postgres ${server.action.replace('_', ' ')} on port ${server.port}`);
  return { url: server.url, action: server.action === 'already_running' ? 'left alone' : server.action };
}

async function askDatabase(url: string): Promise<void> {
  const { Client } = (await import('pg')).default;
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  try {
    await client.connect();
    await client.query('SELECT 1');
  } catch (cause) {
    throw new CliError('the Postgres server of DATABASE_URL cannot be used', { exitCode: EXIT.dependency, evidence: [redact(url), (cause as Error).message], next: 'correct DATABASE_URL, or unset it to use the embedded Postgres', cause });
  } finally {
    await client.end().catch(() => undefined);
  }
}
