/**
 * The backends that a process has open, whatever their configuration comes from: each behind its door and circuit,
 * probed in the background, and the catalogue that calls are routed by.
 *
 * A catalogue is replaced as a whole. Calls that were planned by the one before go on with its backends; a backend
 * that the new one does not have is closed when such calls are over.
 */
import type { Logger } from 'pino';
import { AgentOsError } from '../platform/errors.ts';
import { ConfigError } from '../platform/config/load.ts';
import type { Fault } from '../platform/http/validation.ts';
import type { OpenProvider } from './adapters/open-provider.ts';
import { catalogueOf, type BackendAttributes, type Catalogue } from './router/catalogue.ts';
import { Circuit, DEFAULT_CIRCUIT } from './router/circuit.ts';
import { MAX_ATTEMPTS } from './router/fallback.ts';
import { GatedProvider } from './router/gated-provider.ts';
import { ModelsConfigError } from './router/models-config.ts';
import { NO_ROUTING } from './router/routing-rules.ts';

/** What is known of a backend beside its wire; no secrets. */
export interface BackendFacts {
  readonly name: string;
  readonly kind: string;
  /** Without credentials; null: the kind's own. */
  readonly baseUrl: string | null;
  readonly hasApiKey: boolean;
  readonly region: string | null;
  readonly attributes: BackendAttributes;
  readonly timeoutMs: number;
  readonly maxConcurrency: number | null;
  readonly health: { readonly probeIntervalMs?: number; readonly failureThreshold?: number; readonly openMs?: number };
}

export interface BackendsSource {
  readonly kind: 'file' | 'environment';
  readonly path: string | null;
  /** Milliseconds since the epoch. */
  readonly loadedAtMs: number;
  /** Counts the loads that took effect. */
  readonly revision: number;
  /** What is wrong with the newest file; null while that is in effect. */
  readonly error: { readonly message: string; readonly atMs: number } | null;
}

export interface Backends {
  /** As known now; a backend that was asked for its models and has not answered yet has none. */
  readonly catalogue: Catalogue;
  readonly providers: readonly GatedProvider[];
  readonly facts: readonly BackendFacts[];
  readonly source: BackendsSource;
  circuitOf(backend: string): Circuit | null;
  /** Called with each catalogue that takes effect, the present one first. */
  onCatalogue(listener: (catalogue: Catalogue) => void): void;
  /** @throws AgentOsError conflict (bad_configuration); then everything stays as it was. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

interface OpenBackend {
  readonly facts: BackendFacts;
  readonly inner: OpenProvider;
  readonly gated: GatedProvider;
  readonly timer: NodeJS.Timeout;
}

const PROBE_EVERY_MS = 15_000;
const PROBE_TIMEOUT_MS = 5_000;

export class BackendSet {
  readonly #log: Logger;
  readonly #open = new Map<string, OpenBackend>();
  readonly #retired = new Map<OpenBackend, NodeJS.Timeout>();
  readonly #listeners: ((catalogue: Catalogue) => void)[] = [];
  #catalogue: Catalogue = catalogueOf([], NO_ROUTING);
  #loadedAtMs = Date.now();
  #revision = 0;
  #error: BackendsSource['error'] = null;

  constructor(log: Logger) {
    this.#log = log;
  }

  get names(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** Takes the place of an open backend of the same name. */
  open(facts: BackendFacts, inner: OpenProvider): GatedProvider {
    const { probeIntervalMs = PROBE_EVERY_MS, ...circuit } = facts.health;
    const gated = new GatedProvider(facts.name, inner, new Circuit({ ...DEFAULT_CIRCUIT, ...circuit }), facts.maxConcurrency, facts.timeoutMs);
    const timer = setInterval(() => void probe(gated), probeIntervalMs).unref();
    const before = this.#open.get(facts.name);
    this.#open.set(facts.name, { facts, inner, gated, timer });
    if (before !== undefined) this.#retire(before);
    return gated;
  }

  find(name: string): GatedProvider | null {
    return this.#open.get(name)?.gated ?? null;
  }

  /** Closes a backend when the calls that may still go to it are over. */
  retire(name: string): void {
    const backend = this.#open.get(name);
    if (backend === undefined) return;
    this.#open.delete(name);
    this.#retire(backend);
  }

  #retire(backend: OpenBackend): void {
    clearInterval(backend.timer);
    const longestMs = Math.max(...[backend, ...this.#open.values()].map(({ facts }) => facts.timeoutMs)) * MAX_ATTEMPTS;
    this.#retired.set(backend, setTimeout(() => {
      this.#retired.delete(backend);
      void backend.inner.close().catch((error: unknown) => this.#log.warn({ backend: backend.facts.name, err: error }, 'A model backend that is no longer used could not be closed.'));
    }, longestMs).unref());
  }

  use(catalogue: Catalogue): void {
    this.#catalogue = catalogue;
    this.#loadedAtMs = Date.now();
    this.#revision += 1;
    this.#error = null;
    for (const listener of this.#listeners) listener(catalogue);
  }

  asBackends(source: { readonly kind: BackendsSource['kind']; readonly path: string | null; reload(): Promise<void>; close(): void }): Backends {
    const set = this;
    return {
      get catalogue() { return set.#catalogue; },
      get providers() { return [...set.#open.values()].map(({ gated }) => gated); },
      get facts() { return [...set.#open.values()].map(({ facts }) => facts); },
      get source() { return { kind: source.kind, path: source.path, loadedAtMs: set.#loadedAtMs, revision: set.#revision, error: set.#error }; },
      circuitOf: (name) => set.#open.get(name)?.gated.circuit ?? null,
      onCatalogue(listener) {
        set.#listeners.push(listener);
        listener(set.#catalogue);
      },
      reload: () => source.reload(),
      async close() {
        source.close();
        await set.#close();
      },
    };
  }

  /** What was read cannot be used: the catalogue stays, and everybody who asks is told. */
  refuse(error: unknown, path: string): AgentOsError {
    const message = `${path} cannot be used: ${(error as Error).message}`;
    if (this.#error?.message !== message) this.#log.error({ path, errors: faultsIn(error) }, `${message}. The catalogue that was loaded before stays in effect.`);
    this.#error = { message, atMs: Date.now() };
    return new AgentOsError('conflict', { message: `${message}. The catalogue that was loaded before stays in effect.`, details: { reason: 'bad_configuration', errors: faultsIn(error) }, cause: error });
  }

  /** What is in effect is what stands in the file, again. */
  accept(): void {
    this.#error = null;
  }

  async #close(): Promise<void> {
    for (const timer of this.#retired.values()) clearTimeout(timer);
    for (const { timer } of this.#open.values()) clearInterval(timer);
    await Promise.all([...this.#retired.keys(), ...this.#open.values()].map(({ inner }) => inner.close()));
  }
}

async function probe(gated: GatedProvider): Promise<void> {
  const { ok } = await gated.health(AbortSignal.timeout(PROBE_TIMEOUT_MS)).catch(() => ({ ok: false }));
  gated.circuit.probed(ok);
}

function faultsIn(error: unknown): readonly Fault[] {
  return error instanceof ModelsConfigError ? error.faults : [{ path: '', message: error instanceof ConfigError ? error.message : 'cannot be read' }];
}

/** A URL that may be shown: without user, password and query. */
export function publicUrlOf(url: string | undefined): string | null {
  if (url === undefined || !URL.canParse(url)) return null;
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
