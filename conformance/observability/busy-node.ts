/** A node on which everything has happened that rules and dashboards ask about, so that what they ask for can be held against what it exposes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openAiVendor } from '../../services/model-policy/fixture/vendor-openai.ts';
import { startVendor } from '../../services/model-policy/fixture/vendor-stub.ts';
import { call, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { TokenIssuer } from '../harness/token-issuer.ts';

const MODELS = (url: string): string => `
backends:
  main: {kind: openai_compatible, base_url: "${url}"}
  offline: {kind: builtin}
models:
  - {id: priced, backend: main, backend_model: gpt-4o-mini, tiers: [balanced, fast], context_tokens: 8000, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
  - {id: builtin-fast-1, backend: offline, price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}}
`;
const CARD = '4111 1111 1111 1111';

export interface BusyNode {
  readonly node: TestNode;
  /** As Prometheus reads it, series of tenants included. */
  metrics(service: string): Promise<string>;
  close(): Promise<void>;
}

export async function busyNode(): Promise<BusyNode> {
  const [vendor, issuer] = [await startVendor(openAiVendor), await new TokenIssuer().start()];
  const folder = mkdtempSync(path.join(tmpdir(), 'agentos-observed-'));
  const models = path.join(folder, 'models.yaml');
  writeFileSync(models, MODELS(vendor.baseUrl));
  const node = await startNode({ env: { AGENTOS_MODELS_FILE: models, AGENTOS_JWT_ISSUER: issuer.url } });
  await makeBusy(node);
  return {
    node,
    metrics: async (service) => (await call(node.urls[service as keyof typeof node.urls], '/metrics', { headers: { 'x-scopes': 'metrics:read' } })).body as string,
    async close() {
      await node.close();
      await Promise.all([vendor.close(), issuer.close()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function makeBusy(node: TestNode): Promise<void> {
  const { 'agent-orchestrator': ao, 'model-policy': mp } = node.urls;
  const invoke = (tenant: string, text: string): Promise<Json> => call(mp, '/v1/models:invoke', { tenant, body: { operation: 'chat', model_id: 'tier:fast', input: { text } } });
  const run = async (agent: string, tenant: string, tools?: readonly string[]): Promise<void> => {
    const made = await call(ao, `/v1/agents/${agent}/runs`, { tenant, body: { input: 'hello', ...(tools === undefined ? {} : { tools }) } });
    await untilEnded(ao, made.body.run.run_id as string, { tenant });
  };
  await run('agt_sample_echo_v1', 'tnt_demo');
  for (const action of ['redact', 'block']) {
    const tenant = await node.tenant({ default_policy_id: 'pol_own' });
    await call(mp, '/v1/policies/pol_own', { method: 'PUT', tenant, body: { rules: [{ id: 'cards', kind: 'pii', types: ['card'], action }] } });
    await invoke(tenant, `my card is ${CARD}`);
  }
  const limited = await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 1 } } } });
  await invoke(limited, 'hello');
  await call(mp, '/v1/chat/completions', { body: { model: 'tier:fast', stream: true, messages: [{ role: 'user', content: 'hello' }] } });
  await call(ao, '/v1/runs', { headers: { 'x-api-key': 'aos_live_nobody.nothing' } });
  await call(ao, '/v1/runs/run_none');
}
