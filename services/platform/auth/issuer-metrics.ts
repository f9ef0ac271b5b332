/** How the keys of token issuers stand, by issuer; the issuers are those of the configuration, so they are few. */
import { Gauge } from 'prom-client';
import type { Metrics } from '../telemetry/metrics.ts';
import type { KeySource, KeySourceState } from './issuer-keys.ts';

export function issuerMetrics(metrics: Metrics, sources: () => ReadonlyMap<string, KeySource>): void {
  const gauge = (name: string, help: string, read: (state: KeySourceState) => number | null): void => {
    void new Gauge({
      name, help, labelNames: ['issuer'] as const, registers: [metrics.registry],
      collect() {
        this.reset();
        for (const [issuer, source] of sources()) {
          const value = read(source.state()!);
          if (value !== null) this.set({ issuer }, value);
        }
      },
    });
  };
  gauge('agentos_jwks_keys', 'Public keys known of a token issuer.', (state) => state.keys);
  gauge('agentos_jwks_age_seconds', 'Time since the keys of a token issuer were last read.', (state) => state.ageSeconds);
  gauge('agentos_jwks_failing', '1 while the keys of a token issuer cannot be read; those that are known go on.', (state) => (state.failing ? 1 : 0));
  gauge('agentos_jwks_fetches', 'Times that the keys of a token issuer were read since the start.', (state) => state.fetches.succeeded);
  gauge('agentos_jwks_failed_fetches', 'Times that they could not be read.', (state) => state.fetches.failed);
}
