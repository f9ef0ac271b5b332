/**
 * The models file: its text, judged against specs/schemas/config/models-config.schema.json, and the references in it.
 *
 * A member that nobody knows is refused with the place and the name that was meant, since a setting that is silently
 * ignored is found out by the bill.
 */
import { createHash } from 'node:crypto';
import { LineCounter, parseDocument } from 'yaml';
import { members, validators } from '../../../generated/validators/config.js';
import type { ModelsConfig, ModelsConfigCanary } from '../../../generated/types/index.ts';
import { nearest } from '../../platform/config/load.ts';
import { faultsOf, type Fault } from '../../platform/http/validation.ts';
import type { CanaryRule, RoutingRules } from './routing-rules.ts';

export class ModelsConfigError extends Error {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; '));
    this.name = 'ModelsConfigError';
    this.faults = faults;
  }
}

const DEFAULT_MIN_SAMPLES = 50;

/** @param text YAML, of which JSON is a part @throws ModelsConfigError with every place that is wrong. */
export function parseModelsConfig(text: string): ModelsConfig {
  const value = parseText(text);
  if (!validators.ModelsConfig(value)) throw new ModelsConfigError(faultsOf(validators.ModelsConfig).map((fault) => withNearest(fault)));
  const config = value as ModelsConfig;
  const faults = [...duplicates(config), ...danglingReferences(config)];
  if (faults.length > 0) throw new ModelsConfigError(faults);
  return config;
}

function parseText(text: string): unknown {
  const lines = new LineCounter();
  // Merge keys and custom tags are not read: what stands in the file is what is meant.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, strict: true, version: '1.2', schema: 'core' });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    throw new ModelsConfigError(broken.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return { path: '', message: `line ${line}, column ${col}: ${error.message.split('\n')[0]!.replace(/ at line .*$/, '')}` };
    }));
  }
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new ModelsConfigError([{ path: '', message: (error as Error).message }]);
  }
}

const NESTED: readonly (readonly [place: RegExp, names: readonly string[]])[] = [
  [/^\/backends\/[^/]+\/attributes$/, ['region', 'data_classification']],
  [/^\/backends\/[^/]+\/health$/, ['probe_interval_ms', 'failure_threshold', 'open_ms']],
  [/^\/backends\/[^/]+$/, members.ModelsConfigBackend],
  [/^\/models\/\d+\/price/, members.ModelsConfigPrice],
  [/^\/models\/\d+$/, members.ModelsConfigModel],
  [/^\/routing\/canaries\/\d+\/gates$/, ['max_error_rate', 'max_p95_ms', 'min_samples']],
  [/^\/routing\/canaries\/\d+$/, members.ModelsConfigCanary],
  [/^\/routing$/, members.ModelsConfigRouting],
  [/^$/, members.ModelsConfig],
];

function withNearest(fault: Fault): Fault {
  if (fault.message !== 'is not a known member') return fault;
  const cut = fault.path.lastIndexOf('/');
  const known = NESTED.find(([place]) => place.test(fault.path.slice(0, cut)))?.[1] ?? [];
  const near = nearest(fault.path.slice(cut + 1), known);
  return { path: fault.path, message: `is not a known member; ${near === null ? `known are ${known.join(', ')}` : `did you mean ${near}?`}` };
}

function duplicates({ models, routing }: ModelsConfig): Fault[] {
  const faults: Fault[] = [];
  const places = new Map<string, string>();
  const take = (name: string, path: string): void => {
    const earlier = places.get(name);
    if (earlier === undefined) places.set(name, path);
    else faults.push({ path, message: `is ${JSON.stringify(name)}, which ${earlier} is already` });
  };
  for (const [index, model] of models.entries()) take(model.id, `/models/${index}/id`);
  for (const [index, model] of models.entries()) for (const [place, alias] of (model.aliases ?? []).entries()) take(alias, `/models/${index}/aliases/${place}`);
  places.clear();
  for (const [index, canary] of (routing?.canaries ?? []).entries()) take(canary.name, `/routing/canaries/${index}/name`);
  places.clear();
  for (const [index, canary] of (routing?.canaries ?? []).entries()) take(canary.model, `/routing/canaries/${index}/model`);
  return faults;
}

function danglingReferences({ backends, models, routing = {} }: ModelsConfig): Fault[] {
  const faults: Fault[] = [];
  const ids = models.map((model) => model.id);
  const isTier = (name: string): boolean => /^tier:(fast|balanced|premium)$/.test(name);
  const check = (name: string, path: string, known: readonly string[], what: string): void => {
    if (known.includes(name)) return;
    const near = nearest(name, known);
    faults.push({ path, message: `is ${JSON.stringify(name)}, which is no ${what} of this file${near === null ? '' : `; did you mean ${near}?`}` });
  };
  for (const [index, model] of models.entries()) check(model.backend, `/models/${index}/backend`, Object.keys(backends), 'backend');
  for (const [name, chain] of Object.entries(routing.fallback ?? {})) {
    const path = `/routing/fallback/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!isTier(name)) check(name, path, ids, 'model, nor tier:fast, tier:balanced or tier:premium');
    for (const [index, id] of chain.entries()) check(id, `${path}/${index}`, ids, 'model');
  }
  for (const [index, canary] of (routing.canaries ?? []).entries()) {
    check(canary.model, `/routing/canaries/${index}/model`, ids, 'model');
    check(canary.canary, `/routing/canaries/${index}/canary`, ids, 'model');
    if (canary.model === canary.canary) faults.push({ path: `/routing/canaries/${index}/canary`, message: 'is the model that it is to stand beside' });
  }
  return faults;
}

export function routingRulesOf({ routing = {} }: ModelsConfig): RoutingRules {
  return {
    choose: routing.choose ?? 'quality',
    fallback: new Map(Object.entries(routing.fallback ?? {})),
    canaries: (routing.canaries ?? []).map(toCanaryRule),
  };
}

function toCanaryRule(canary: ModelsConfigCanary): CanaryRule {
  const { name, model, canary: tried, percent, key = 'tenant', tenants, gates = {}, state } = canary;
  return {
    name, model, canary: tried, percent, key,
    tenants: tenants === undefined ? null : new Set(tenants),
    gates: { maxErrorRate: gates.max_error_rate ?? null, maxP95Ms: gates.max_p95_ms ?? null, minSamples: gates.min_samples ?? DEFAULT_MIN_SAMPLES },
    isPaused: state === 'paused',
    version: createHash('sha256').update(JSON.stringify([model, tried, percent, key, tenants ?? null, gates])).digest('hex').slice(0, 16),
  };
}
