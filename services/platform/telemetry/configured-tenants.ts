import { ConfigError, type Config } from '../config/load.ts';

const MOST_NAMED = 500;

/** Which tenants have metric series of their own. @throws ConfigError where so many are named that nothing would be bounded. */
export function tenantSeriesOf(values: Pick<Config['values'], 'AGENTOS_METRICS_TENANTS' | 'AGENTOS_METRICS_TENANTS_ALWAYS'>): { readonly limit: number; readonly always: readonly string[] } {
  const always = values.AGENTOS_METRICS_TENANTS_ALWAYS;
  if (always.length > MOST_NAMED) throw new ConfigError('AGENTOS_METRICS_TENANTS_ALWAYS', `AGENTOS_METRICS_TENANTS_ALWAYS names ${always.length} tenants, and each makes time series in every process; ${MOST_NAMED} are the most. Name those that matter, and let AGENTOS_METRICS_TENANTS show the busiest of the rest.`);
  return { limit: values.AGENTOS_METRICS_TENANTS, always };
}
