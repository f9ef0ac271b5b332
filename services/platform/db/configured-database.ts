/** The database that the configuration names, as it is named now: its password may be replaced while a service runs. */
import { ConfigError, type Config } from '../config/load.ts';
import type { DatabaseOptions } from './pool.ts';

/** For `createDatabase`, `listen` and their like. @throws ConfigError when none is named. */
export function configuredDatabase(config: Config): Required<Pick<DatabaseOptions, 'onRefused'>> & { readonly url: () => string } {
  const live = config.secrets.live('DATABASE_URL');
  if (live === undefined) throw new ConfigError('DATABASE_URL', 'DATABASE_URL is not set. `agentos up` starts PostgreSQL and sets it; or name a server: postgres://user:password@host:5432/database.');
  return { url: () => live.current(), onRefused: () => live.refused() };
}
