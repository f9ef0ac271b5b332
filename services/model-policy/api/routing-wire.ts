/** The catalogue in effect and its canaries as the admin operations tell them: names, prices and states, no secrets. */
import type { RoutingCanary, RoutingCatalogue } from '../../../generated/types/index.ts';
import type { Backends } from '../backend-set.ts';
import type { Canaries, CanaryReading } from '../router/canaries.ts';
import type { ArmReading } from '../router/canary-arms.ts';
import type { CatalogueModel } from '../router/catalogue.ts';
import type { LatencyBook } from '../router/latency.ts';

export interface RoutingParts {
  readonly backends: Backends;
  readonly canaries: Canaries;
  readonly latency: LatencyBook;
}

export function catalogueToWire({ backends, canaries, latency }: RoutingParts): RoutingCatalogue {
  const { source, facts, catalogue } = backends;
  const gates = new Map(backends.providers.map((provider) => [provider.backend, provider]));
  return {
    source: {
      kind: source.kind, path: source.path, loaded_at: new Date(source.loadedAtMs).toISOString(), revision: source.revision,
      error: source.error === null ? null : { message: source.error.message, at: new Date(source.error.atMs).toISOString() },
    },
    backends: facts.map(({ name, kind, baseUrl, hasApiKey, region, attributes, timeoutMs, maxConcurrency }) => ({
      name, kind, base_url: baseUrl, has_api_key: hasApiKey, region,
      attributes: { region: attributes.region, data_classification: [...attributes.dataClassification] },
      timeout_ms: timeoutMs, max_concurrency: maxConcurrency,
      circuit: gates.get(name)?.circuit.state ?? 'closed', healthy: gates.get(name)?.circuit.healthy ?? true, in_flight: gates.get(name)?.inFlight ?? 0,
    })),
    models: catalogue.models.map((model) => modelToWire(model, latency)),
    routing: {
      choose: catalogue.routing.choose,
      fallback: Object.fromEntries([...catalogue.routing.fallback].map(([name, chain]) => [name, [...chain]])),
      canaries: canaries.read().map(canaryToWire),
    },
  };
}

function modelToWire(model: CatalogueModel, latency: LatencyBook): RoutingCatalogue['models'][number] {
  return {
    id: model.modelId, backend: model.backend, backend_model: model.backendModel, tiers: [...model.tiers], capabilities: [...model.capabilities],
    context_tokens: model.contextWindowTokens, max_output_tokens: model.maxOutputTokens,
    price: model.price === null ? null : { input_usd_per_mtok: model.price.inputUsdPerMillion, output_usd_per_mtok: model.price.outputUsdPerMillion },
    quality: model.quality, aliases: [...model.aliases], p50_ms: latency.medianMs(model),
  };
}

export function canaryToWire({ rule, state, reason, sinceMs, canary, baseline }: CanaryReading): RoutingCanary {
  return {
    name: rule.name, model: rule.model, canary: rule.canary, percent: rule.percent, key: rule.key, tenants: rule.tenants === null ? null : [...rule.tenants],
    gates: { max_error_rate: rule.gates.maxErrorRate, max_p95_ms: rule.gates.maxP95Ms, min_samples: rule.gates.minSamples },
    state, reason, since: new Date(sinceMs).toISOString(),
    stats: { canary: armToWire(canary), baseline: armToWire(baseline) },
  };
}

function armToWire({ samples, errorRate, p95Ms }: ArmReading): RoutingCanary['stats']['canary'] {
  return { samples, error_rate: errorRate, p95_ms: p95Ms };
}
