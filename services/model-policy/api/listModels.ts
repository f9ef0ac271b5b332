/** GET /v1/models (Appendix E.5): the models the tenant may use, once as `models` and once as OpenAI clients read them (C-21). */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Engine } from '../engine/engine.ts';

/** OpenAI's list wants a creation time; models of a catalogue have none, so they share the service's start. */
const startedSeconds = Math.floor(Date.now() / 1000);

export function listModels(engine: Engine): ModelPolicyHandlers['listModels'] {
  return async ({ auth, context }) => {
    const models = await engine.models(auth);
    return {
      status: 200,
      body: {
        models: models.map((model) => ({
          model_id: model.modelId,
          provider: model.backend,
          capabilities: [...model.capabilities],
          ...(model.maxOutputTokens === null ? {} : { max_output_tokens: model.maxOutputTokens }),
          ...(model.contextWindowTokens === null ? {} : { context_window_tokens: model.contextWindowTokens }),
          tiers: [...model.tiers],
        })),
        object: 'list' as const,
        data: models.map((model) => ({ id: model.modelId, object: 'model' as const, created: startedSeconds, owned_by: model.backend })),
        correlation_id: context.correlationId,
        tenant_id: auth.tenant_id,
      },
    };
  };
}
