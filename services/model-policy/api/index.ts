/** Every operation of Model Policy that this release serves. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';
import type { BackendHealth } from '../engine/backend-health.ts';
import type { Engine } from '../engine/invoke.ts';
import { getMetrics } from './getMetrics.ts';
import { getReadiness } from './getReadiness.ts';
import { invokeModel } from './invokeModel.ts';
import { listModels } from './listModels.ts';
import { modelPolicyHealth } from './modelPolicyHealth.ts';
import { policyCheck } from './policyCheck.ts';

export interface ApiParts {
  readonly engine: Engine;
  readonly health: Health<'model-policy'>;
  readonly backends: BackendHealth;
}

export function createHandlers({ engine, health, backends }: ApiParts) {
  return {
    invokeModel: invokeModel(engine),
    listModels: listModels(engine),
    policyCheck: policyCheck(engine),
    modelPolicyHealth: modelPolicyHealth(health),
    getReadiness: getReadiness(health, backends),
    getMetrics: getMetrics(health),
  } satisfies ModelPolicyHandlers;
}
