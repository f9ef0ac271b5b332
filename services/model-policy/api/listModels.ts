/** GET /v1/models (Appendix E.5): the models the tenant may use, once as `models` and once as OpenAI clients read them (C-21). */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Engine } from '../engine/engine.ts';
import { toCapability, toOpenAiModel } from './model-wire.ts';

export function listModels(engine: Engine): ModelPolicyHandlers['listModels'] {
  return async ({ auth, context }) => {
    const models = await engine.models(auth);
    return {
      status: 200,
      body: {
        models: models.map(toCapability),
        object: 'list' as const,
        data: models.map(toOpenAiModel),
        correlation_id: context.correlationId,
        tenant_id: auth.tenant_id,
      },
    };
  };
}
