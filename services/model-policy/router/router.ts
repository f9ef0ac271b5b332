/**
 * Which model serves a call, and what is tried when it cannot (PRS 6.3).
 *
 *   named models → entitled → fit the requirements → backend is there → ranked → canary → chain of fallbacks
 *
 * What leaves the list at a stage is kept with its reason. What became of each attempt teaches the next plan: the
 * model's latency and rests, the canary's gates. Circuits learn where the backend is called (gated-provider.ts).
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import { accountablePrincipal, type AuthContext } from '../../platform/tenancy/auth-context.ts';
import { estimatedCostUsd, findCandidates, shortcomingOf, tierOf, type LatencyReading, type LeftOut, type RouteNeed } from './candidates.ts';
import type { Arm } from './canary-arms.ts';
import type { Canaries, CanaryChoice } from './canaries.ts';
import type { Catalogue, CatalogueModel } from './catalogue.ts';
import { circuitOpen, Rests, type Circuit } from './circuit.ts';
import { refusalOf } from './entitlement.ts';
import { callWithFallback, MAX_ATTEMPTS, type Attempt, type Served } from './fallback.ts';
import { LatencyBook } from './latency.ts';

export interface RouterParts {
  /** Asked anew for each call: catalogues change while the service runs. */
  readonly backends: { readonly catalogue: Catalogue; circuitOf(backend: string): Circuit | null };
  readonly canaries: Canaries;
  readonly latency?: LatencyBook;
  readonly rests?: Rests;
}

export interface RouteRequest extends RouteNeed {
  readonly agentId: string | null;
}

export interface RoutePlan {
  /** At least one, in the order in which they are tried. */
  readonly models: readonly CatalogueModel[];
  readonly leftOut: readonly LeftOut[];
  readonly maxAttempts: number;
  /** By which candidates were ranked, greater is better; null where nothing was measured or given. */
  scoreOf(model: CatalogueModel): number | null;
  /** The canary that the call falls under, and the arm to which the model belongs; null without. */
  canaryOf(model: CatalogueModel | null): { readonly name: string; readonly arm: Arm } | null;
  /** For the router's own use. */
  readonly choice: CanaryChoice | null;
}

export interface Router {
  readonly latency: LatencyBook;
  /** @throws AgentOsError as `findCandidates`; dependency_unavailable (circuit_open), rate_limited (backend_resting). */
  plan(auth: AuthContext, tenant: Tenant, request: RouteRequest): RoutePlan;
  /** @param models of the plan, or part of them @param call resolves at the answer; of a stream, with its first piece @throws as `callWithFallback`. */
  serve<Answer>(plan: RoutePlan, models: readonly CatalogueModel[], signal: DepartureSignal, call: (model: CatalogueModel) => Promise<Answer>, onAttempt: (model: CatalogueModel, attempt: Attempt) => void): Promise<Served<Answer>>;
  /** A stream failed after its first piece, which `serve` has counted as an answer: its canary is judged by that too. */
  brokeOff(plan: RoutePlan, model: CatalogueModel): void;
}

export function createRouter({ backends, canaries, latency = new LatencyBook(), rests = new Rests() }: RouterParts): Router {
  const note = (plan: RoutePlan, model: CatalogueModel, error: AgentOsError | null, latencyMs: number): void => {
    if (error === null) latency.record(model, latencyMs);
    if (error?.retryAfterSeconds !== undefined && OVERLOADED.has(error.code)) rests.note(model.backend, model.modelId, error.retryAfterSeconds);
    const arm = plan.canaryOf(model)?.arm;
    if (plan.choice !== null && arm !== undefined && (error === null || COUNTS.has(error.code))) canaries.record(plan.choice, arm, error !== null, latencyMs);
  };
  return {
    latency,
    plan: (auth, tenant, request) => planOf({ backends, canaries, latency, rests }, auth, tenant, request),
    serve(plan, models, signal, call, onAttempt) {
      return callWithFallback(models, signal, call, (model, attempt, error, exactMs) => {
        // What this node lacks itself, or a caller that has left, says nothing about a backend.
        const service = error?.details['service'];
        if (error === null || (!signal.aborted && (service === undefined || service === model.backend))) note(plan, model, error, exactMs);
        onAttempt(model, attempt);
      }, plan.maxAttempts);
    },
    brokeOff(plan, model) {
      const arm = plan.canaryOf(model)?.arm;
      if (plan.choice !== null && arm !== undefined) canaries.record(plan.choice, arm, true, 0);
    },
  };
}

const OVERLOADED: ReadonlySet<ErrorCode> = new Set(['rate_limited', 'dependency_unavailable']);
/** Failures that a canary is judged by; those of the request say nothing about it. */
const COUNTS: ReadonlySet<ErrorCode> = new Set(['dependency_unavailable', 'timeout', 'rate_limited', 'internal_error', 'not_found']);

type PlanParts = Required<RouterParts>;

function planOf(parts: PlanParts, auth: AuthContext, tenant: Tenant, request: RouteRequest): RoutePlan {
  const { catalogue } = parts.backends;
  const { routing } = catalogue;
  const found = findCandidates(catalogue, tenant, request, parts.latency);
  const leftOut: LeftOut[] = [...found.leftOut];
  const scores = tierOf(request.modelRef) === null ? null : new Map<CatalogueModel, number | null>();
  const ranked = scores !== null ? rank(routing.choose, found.models, request, parts.latency, scores) : found.models;
  const mayServe = (id: string): CatalogueModel[] => catalogue.named(id).filter((model) => model.modelId === id && model.capabilities.includes(request.operation) && keep(model, refusalOf(tenant, model, null) ?? request.refusal?.(model) ?? shortcomingOf(model, request, parts.latency), leftOut));
  const chain = routing.fallback.size === 0 ? undefined : (routing.fallback.get(request.modelRef) ?? routing.fallback.get(ranked[0]!.modelId));
  const ordered = chain === undefined ? ranked : withChain(ranked[0]!, chain, mayServe);
  if (chain !== undefined) leave(ranked, ordered, 'not_in_fallback_chain', leftOut);
  const choice = parts.canaries.choose(ordered[0]!.modelId, { tenantId: auth.tenant_id, agentId: request.agentId, principalId: accountablePrincipal(auth).principal_id });
  const tried = choice?.arm === 'canary' ? mayServe(choice.rule.canary) : NO_MODELS;
  const models = available(parts, tried.length === 0 ? ordered : [...new Set([...tried, ...ordered])], leftOut);
  return {
    models, leftOut, choice,
    maxAttempts: chain === undefined ? MAX_ATTEMPTS : chain.length + 1 + tried.length,
    scoreOf: (model) => scores?.get(model) ?? null,
    canaryOf(model) {
      if (choice === null || model === null) return null;
      const arm = model.modelId === choice.rule.canary ? 'canary' : model.modelId === choice.rule.model ? 'baseline' : null;
      return arm === null ? null : { name: choice.rule.name, arm };
    },
  };
}

const NO_MODELS: readonly CatalogueModel[] = [];

function withChain(first: CatalogueModel, chain: readonly string[], mayServe: (id: string) => readonly CatalogueModel[]): readonly CatalogueModel[] {
  const ordered = [first];
  for (const id of chain) {
    if (id === first.modelId) continue;
    for (const model of mayServe(id)) if (!ordered.includes(model)) ordered.push(model);
  }
  return ordered;
}

function keep(model: CatalogueModel, reason: string | null, leftOut: LeftOut[]): boolean {
  if (reason !== null && !leftOut.some((each) => each.model === model.modelId && each.backend === model.backend)) leftOut.push({ model: model.modelId, backend: model.backend, reason });
  return reason === null;
}

function leave(models: readonly CatalogueModel[], kept: readonly CatalogueModel[], reason: string, leftOut: LeftOut[]): void {
  for (const model of models) if (!kept.includes(model)) leftOut.push({ model: model.modelId, backend: model.backend, reason });
}

/** Best first; equals stay in the catalogue's order. A model that was not measured lately comes first by latency, so that it is. */
function rank(choose: string, models: readonly CatalogueModel[], request: RouteRequest, latency: LatencyReading, scores: Map<CatalogueModel, number | null>): readonly CatalogueModel[] {
  if (choose === 'order') return models;
  for (const model of models) {
    const cost = choose === 'cost' ? estimatedCostUsd(model, request) : null;
    const ms = choose === 'latency' ? latency.recentMs(model) : null;
    scores.set(model, choose === 'quality' ? model.quality : choose === 'cost' ? (cost === null ? null : -cost) : ms === null ? null : -ms);
  }
  const unknown = choose === 'latency' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  const of = (model: CatalogueModel): number => scores.get(model) ?? unknown;
  return [...models].sort((one, other) => (of(one) === of(other) ? 0 : of(other) - of(one)));
}

/**
 * Models of backends whose circuit is open are left out, those that rest as well, as long as others are there; those
 * whose backend failed its last probe come last.
 */
function available({ backends, rests }: PlanParts, models: readonly CatalogueModel[], leftOut: LeftOut[]): readonly CatalogueModel[] {
  if (models.every((model) => isWell(backends.circuitOf(model.backend)) && rests.leftMs(model.backend, model.modelId) === 0)) return models;
  const closed = models.filter((model) => backends.circuitOf(model.backend)?.allows !== false);
  if (closed.length === 0) throw circuitOpen(backendsOf(models), Math.min(...models.map((model) => backends.circuitOf(model.backend)?.opensInMs ?? 0)));
  leave(models, closed, 'circuit_open', leftOut);
  const awake = closed.filter((model) => rests.leftMs(model.backend, model.modelId) === 0);
  if (awake.length === 0) throw resting(backendsOf(closed), Math.min(...closed.map((model) => rests.leftMs(model.backend, model.modelId))));
  leave(closed, awake, 'backend_resting', leftOut);
  const healthy = awake.filter((model) => backends.circuitOf(model.backend)?.isDoubtful !== true);
  return healthy.length === awake.length || healthy.length === 0 ? awake : [...healthy, ...awake.filter((model) => !healthy.includes(model))];
}

function isWell(circuit: Circuit | null): boolean {
  return circuit === null || (circuit.allows && !circuit.isDoubtful);
}

function backendsOf(models: readonly CatalogueModel[]): string[] {
  return [...new Set(models.map((model) => model.backend))];
}

function resting(names: readonly string[], leftMs: number): AgentOsError {
  return new AgentOsError('rate_limited', {
    message: `Backend ${names.join(', ')} asked not to be called before Retry-After.`,
    details: { reason: 'backend_resting', backends: names },
    retryAfterSeconds: Math.max(1, Math.ceil(leftMs / 1000)),
  });
}
