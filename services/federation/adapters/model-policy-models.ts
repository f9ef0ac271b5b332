/**
 * The models of this node, asked of Model Policy as `svc_federation` for the caller's tenant: peers are told what that
 * tenant can use here, no more. Answers are remembered for less than a second. A Model Policy that cannot be reached
 * leaves the list empty; readiness says so, since describing this node must not depend on it.
 */
import { request } from 'undici';
import type { Logger } from 'pino';
import type { ModelCapability } from '../../../generated/types/index.ts';
import type { ServiceTokenIssuer } from '../../platform/auth/service-token.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { ShortMemory } from '../../platform/tenancy/short-memory.ts';
import { NO_MODELS, type NodeModels } from '../peers/capabilities.ts';

export interface ModelPolicyOptions {
  readonly baseUrl: string;
  /** null: identity by headers, as demo mode allows where no signing key is set. */
  readonly tokens: ServiceTokenIssuer | null;
  readonly timeoutMs?: number;
  readonly log: Logger;
}

export interface NodeModelsSource {
  models(tenantId: string): Promise<NodeModels>;
  /** Rejects when Model Policy does not answer. */
  ping(signal: AbortSignal): Promise<void>;
}

type ListedModel = ModelCapability & { readonly tiers?: readonly string[] };

const PRINCIPAL = 'svc_federation';
const SCOPES = ['models:list'];

export function createNodeModelsSource(options: ModelPolicyOptions): NodeModelsSource {
  const timeoutMs = options.timeoutMs ?? 1_500;
  const memory = new ShortMemory((tenantId) => read(options, tenantId, timeoutMs));
  return {
    async models(tenantId) {
      try {
        return await memory.get(tenantId);
      } catch (error) {
        options.log.warn({ err: error }, 'Model Policy did not list its models; capabilities are told without them.');
        return NO_MODELS;
      }
    },
    async ping(signal) {
      const answer = await request(`${options.baseUrl}/v1/health`, { signal });
      await answer.body.dump();
      if (answer.statusCode !== 200) throw new Error(`Model Policy answered ${answer.statusCode} on its health`);
    },
  };
}

async function read(options: ModelPolicyOptions, tenantId: string, timeoutMs: number): Promise<NodeModels> {
  const answer = await request(`${options.baseUrl}/v1/models`, { headers: await identityHeaders(options.tokens, tenantId), signal: AbortSignal.timeout(timeoutMs) });
  if (answer.statusCode !== 200) {
    await answer.body.dump();
    throw new Error(`Model Policy answered ${answer.statusCode} on its models`);
  }
  const { models } = (await answer.body.json()) as { models: readonly ListedModel[] };
  return {
    tiers: [...new Set(models.flatMap((model) => model.tiers ?? []))],
    backends: [...new Set(models.map((model) => model.provider))],
    maxContextTokens: Math.max(0, ...models.map((model) => model.context_window_tokens ?? 0)),
  };
}

async function identityHeaders(tokens: ServiceTokenIssuer | null, tenantId: string): Promise<Record<string, string>> {
  if (tokens === null) return { 'x-tenant-id': tenantId, 'x-principal-id': PRINCIPAL, 'x-scopes': SCOPES.join(' ') };
  const auth: AuthContext = { tenant_id: tenantId, principal: { principal_id: PRINCIPAL, principal_type: 'service' }, scopes: [...SCOPES] };
  return { authorization: `Bearer ${await tokens.issue({ audience: 'model-policy', auth })}` };
}
