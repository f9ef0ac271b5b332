/** GET /v1/models/{model_id}: one of the models that `listModels` lists, by its id, `backend/id` or another name of it. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { toCapability, toOpenAiModel } from './model-wire.ts';

export function getModel(engine: Engine): ModelPolicyHandlers['getModel'] {
  return async ({ path, auth, context }) => {
    const wanted = path.model_id;
    const model = (await engine.models(auth)).find(({ modelId, backend, aliases }) => modelId === wanted || `${backend}/${modelId}` === wanted || aliases.includes(wanted));
    // Who may not use a model need not learn that there is one.
    if (model === undefined) throw new AgentOsError('not_found', { message: `There is no model ${wanted} for this tenant. GET /v1/models lists those that there are.`, details: { reason: 'model_not_found' } });
    return { status: 200, body: { ...toOpenAiModel(model), model: toCapability(model), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
}
