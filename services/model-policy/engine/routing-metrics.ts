/** Gauges of routing, read when somebody asks for them: nothing is counted on the way of a call. Labels name backends, models and canaries of the configuration. */
import { Gauge, type Registry } from 'prom-client';
import type { Backends } from '../backend-set.ts';
import type { Canaries } from '../router/canaries.ts';
import type { LatencyBook } from '../router/latency.ts';

const CIRCUIT = { closed: 0, half_open: 1, open: 2 } as const;

export function watchRouting(registry: Registry, { backends, canaries, latency }: { readonly backends: Backends; readonly canaries: Canaries; readonly latency: LatencyBook }): void {
  backends.onCatalogue((catalogue) => void canaries.use(catalogue.routing.canaries));
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[], collect: (gauge: Gauge<Label>) => void): void => {
    new Gauge<Label>({
      name, help, labelNames: [...labelNames], registers: [registry],
      collect() {
        this.reset();
        collect(this);
      },
    });
  };
  gauge('agentos_backend_circuit', 'Circuit of a backend: 0 closed, 1 half open, 2 open.', ['backend'], (each) => {
    for (const { backend, circuit } of backends.providers) each.set({ backend }, CIRCUIT[circuit.state]);
  });
  gauge('agentos_backend_in_flight', 'Calls to a backend that are under way.', ['backend'], (each) => {
    for (const { backend, inFlight } of backends.providers) each.set({ backend }, inFlight);
  });
  gauge('agentos_model_recent_latency_ms', 'Milliseconds that a model takes, the median of its latest calls.', ['backend', 'model'], (each) => {
    for (const model of backends.catalogue.models) {
      const medianMs = latency.medianMs(model);
      if (medianMs !== null) each.set({ backend: model.backend, model: model.modelId }, medianMs);
    }
  });
  gauge('agentos_canary_share', 'Share of the keys that get a canary, 0 to 1; 0 when it is paused or rolled back.', ['canary'], (each) => {
    for (const { rule, state } of canaries.read()) each.set({ canary: rule.name }, state === 'active' ? rule.percent / 100 : 0);
  });
  gauge('agentos_canary_calls', 'Calls of a canary and of the model beside it, in this process, since it began.', ['canary', 'arm'], (each) => {
    for (const { rule, canary, baseline } of canaries.read()) {
      each.set({ canary: rule.name, arm: 'canary' }, canary.samples);
      each.set({ canary: rule.name, arm: 'baseline' }, baseline.samples);
    }
  });
  gauge('agentos_models_config_ok', '1 while the newest configuration of models is in effect, 0 when it cannot be used.', [], (each) => each.set({}, backends.source.error === null ? 1 : 0));
  gauge('agentos_models_config_revision', 'Configurations of models that took effect in this process.', [], (each) => each.set({}, backends.source.revision));
}
