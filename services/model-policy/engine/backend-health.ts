/** Probes of every backend for readiness and the `agentos_backend_health` gauge; probes within two seconds share an answer. */
import { Gauge, type Registry } from 'prom-client';
import type { ProviderPort } from '../ports/provider.ts';

export interface BackendState {
  readonly backend: string;
  readonly ok: boolean;
  readonly latencyMs: number;
  readonly detail: string | null;
}

const KEEP_MS = 2_000;
const PROBE_TIMEOUT_MS = 800;

export class BackendHealth {
  private readonly providers: readonly ProviderPort[];
  private readonly gauge: Gauge<'backend'>;
  private latest: { readonly states: Promise<readonly BackendState[]>; readonly until: number } | null = null;

  constructor(providers: readonly ProviderPort[], registry: Registry) {
    this.providers = providers;
    this.gauge = new Gauge({ name: 'agentos_backend_health', help: '1 when the backend answers its probe, else 0.', labelNames: ['backend'], registers: [registry] });
  }

  states(): Promise<readonly BackendState[]> {
    const now = performance.now();
    if (this.latest === null || this.latest.until <= now) this.latest = { states: Promise.all(this.providers.map((provider) => this.probe(provider))), until: now + KEEP_MS };
    return this.latest.states;
  }

  /** @throws Error when no backend can serve. */
  async requireOne(): Promise<void> {
    const states = await this.states();
    if (!states.some((state) => state.ok)) throw new Error(`no model backend can serve: ${states.map((state) => `${state.backend} ${state.detail ?? 'is down'}`).join('; ')}`);
  }

  private async probe(provider: ProviderPort): Promise<BackendState> {
    const started = performance.now();
    const result = await provider.health(AbortSignal.timeout(PROBE_TIMEOUT_MS)).catch((error: unknown) => ({ ok: false, detail: (error as Error).message }));
    this.gauge.set({ backend: provider.backend }, result.ok ? 1 : 0);
    return { backend: provider.backend, ok: result.ok, latencyMs: Math.round((performance.now() - started) * 10) / 10, detail: result.detail ?? null };
  }
}
