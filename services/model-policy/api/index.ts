/** Every operation of Model Policy that this release serves. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { Backends } from '../backend-set.ts';
import type { BackendHealth } from '../engine/backend-health.ts';
import type { Engine } from '../engine/engine.ts';
import type { PolicyRulesPort } from '../ports/policy-rules.ts';
import { deletePolicy } from './deletePolicy.ts';
import { getModel } from './getModel.ts';
import { getPolicy } from './getPolicy.ts';
import { listPolicies } from './listPolicies.ts';
import { putPolicy } from './putPolicy.ts';
import { createChatCompletion } from './createChatCompletion.ts';
import { createEmbeddings } from './createEmbeddings.ts';
import { getDecision } from './getDecision.ts';
import { getMetrics } from './getMetrics.ts';
import { getReadiness } from './getReadiness.ts';
import { getRouting } from './getRouting.ts';
import { getUsage } from './getUsage.ts';
import { invokeModel } from './invokeModel.ts';
import { listCanaries } from './listCanaries.ts';
import { listDecisions } from './listDecisions.ts';
import { listModels } from './listModels.ts';
import { listUsageEntries } from './listUsageEntries.ts';
import { modelPolicyHealth } from './modelPolicyHealth.ts';
import { policyCheck } from './policyCheck.ts';
import { reloadRouting } from './reloadRouting.ts';
import { rollBackCanary } from './rollBackCanary.ts';
import type { Canaries } from '../router/canaries.ts';
import type { Recorder } from '../../platform/audit/recorded.ts';
import type { LatencyBook } from '../router/latency.ts';
import type { DecisionsPort } from '../ports/decisions.ts';
import type { UsagePort } from '../ports/usage.ts';

export interface ApiParts {
  readonly engine: Engine;
  readonly rules: PolicyRulesPort;
  readonly usage: UsagePort;
  readonly decisions: DecisionsPort;
  readonly directory: DirectoryPort;
  readonly health: Health<'model-policy'>;
  readonly backends: Backends;
  readonly canaries: Canaries;
  readonly latency: LatencyBook;
  readonly recorder: Recorder;
  readonly backendHealth: BackendHealth;
}

export function createHandlers({ engine, rules, usage, decisions, directory, health, backends, canaries, latency, backendHealth, recorder }: ApiParts) {
  const routing = { backends, canaries, latency };
  return {
    createChatCompletion: createChatCompletion(engine),
    createEmbeddings: createEmbeddings(engine),
    invokeModel: invokeModel(engine),
    listModels: listModels(engine),
    getModel: getModel(engine),
    policyCheck: policyCheck(engine),
    listPolicies: listPolicies(rules),
    getPolicy: getPolicy(rules),
    putPolicy: putPolicy(rules),
    deletePolicy: deletePolicy(rules, directory),
    getUsage: getUsage(usage, directory),
    listUsageEntries: listUsageEntries(usage),
    modelPolicyHealth: modelPolicyHealth(health),
    getDecision: getDecision(decisions, recorder),
    listDecisions: listDecisions(decisions, recorder),
    getRouting: getRouting(routing),
    reloadRouting: reloadRouting(routing, recorder),
    listCanaries: listCanaries(canaries),
    rollBackCanary: rollBackCanary(canaries, recorder),
    getReadiness: getReadiness(health, backendHealth, backends),
    getMetrics: getMetrics(health),
  } satisfies ModelPolicyHandlers;
}
