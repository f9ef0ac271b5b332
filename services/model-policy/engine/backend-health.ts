/** Probes of every backend for readiness and the `agentos_backend_health` gauge; probes within two seconds share an answer. */
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import { NotReadyError, readinessReason, type ReadinessReason } from '../../platform/http/readiness-reason.ts';
import type { GatedProvider } from '../router/gated-provider.ts';

export interface BackendState {
  readonly backend: string;
  readonly ok: boolean;
  readonly latencyMs: number;
  /** null while it answers. Why in full stands in the log. */
  readonly reason: ReadinessReason | null;
}

const KEEP_MS = 2_000;
const PROBE_TIMEOUT_MS = 800;

export class BackendHealth {
  private readonly backends: { readonly providers: readonly GatedProvider[] };
  private readonly gauge: Gauge<'backend'>;
  private readonly log: Logger;
  private readonly last = new Map<string, ReadinessReason>();
  private latest: { readonly states: Promise<readonly BackendState[]>; readonly until: number } | null = null;

  constructor(backends: { readonly providers: readonly GatedProvider[] }, registry: Registry, log: Logger) {
    this.backends = backends;
    this.log = log;
    this.gauge = new Gauge({ name: 'agentos_backend_health', help: '1 when the backend answers its probe, else 0.', labelNames: ['backend'], registers: [registry] });
  }

  states(): Promise<readonly BackendState[]> {
    const now = performance.now();
    if (this.latest === null || this.latest.until <= now) this.latest = { states: Promise.all(this.backends.providers.map((provider) => this.probe(provider))), until: now + KEEP_MS };
    return this.latest.states;
  }

  /** @throws NotReadyError when no backend can serve. */
  async requireOne(): Promise<void> {
    const states = await this.states();
    if (!states.some((state) => state.ok)) throw new NotReadyError('none_available', `no model backend can serve: ${states.map((state) => `${state.backend} ${state.reason}`).join(', ')}`);
  }

  private async probe(provider: GatedProvider): Promise<BackendState> {
    const started = performance.now();
    const result = await provider.health(AbortSignal.timeout(PROBE_TIMEOUT_MS)).catch((error: unknown) => ({ ok: false, cause: error }));
    provider.circuit.probed(result.ok);
    const reason = result.ok ? null : readinessReason(result.cause);
    this.gauge.set({ backend: provider.backend }, result.ok ? 1 : 0);
    this.report(provider.backend, reason, result.cause);
    return { backend: provider.backend, ok: result.ok, latencyMs: Math.round((performance.now() - started) * 10) / 10, reason };
  }

  /** Once a change, not once a probe. */
  private report(backend: string, reason: ReadinessReason | null, cause: unknown): void {
    if (this.last.get(backend) === (reason ?? undefined)) return;
    if (reason === null) this.last.delete(backend);
    else this.last.set(backend, reason);
    if (reason === null) this.log.info({ backend }, 'A model backend answers again.');
    else this.log.warn({ backend, reason, err: cause }, 'A model backend does not answer its probe.');
  }
}
