/** That a node in prod does what it was set up for: a run from end to end, and a first key that opens its own tenant and no more. */
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { expectStatus, send } from '../api.ts';
import { tenantKeyFile } from '../identity.ts';
import type { Settings } from '../settings.ts';
import { must, type Check } from '../validation/checks.ts';
import { runningNode } from '../validation/isolation/settings-node.ts';
import { asKey, makeTenant, removeTenant } from '../validation/isolation/tenants.ts';

const AO = 'agent-orchestrator';
const RUN_TIMEOUT_MS = 30_000;

export function proofChecks(settings: Settings, tenantId: string, signal: AbortSignal): readonly Check[] {
  return [
    { name: `the key of ${tenantId}'s administrator opens its tenant and no administration`, run: () => keyIsBounded(settings, tenantId, signal) },
    { name: 'a run completes, in a tenant made for it and removed', run: () => runInPassing(settings, signal) },
  ];
}

async function keyIsBounded(settings: Settings, tenantId: string, signal: AbortSignal): Promise<string> {
  const headers = asKey(readFileSync(tenantKeyFile(settings.home, tenantId), 'utf8').trim());
  const own = expectStatus(await send(settings, AO, '/v1/tenant', { signal, headers }), [200], 'reading its own tenant');
  const told = (own.body?.['tenant'] as { tenant_id?: string } | undefined)?.tenant_id;
  must(told === tenantId, `it opens ${String(told)}`);
  const admin = await send(settings, AO, '/v1/admin/tenants', { signal, headers });
  must(admin.status === 403, `listing every tenant answers ${admin.status} in place of 403`);
  return `${tenantId}: 200, /v1/admin/tenants: 403`;
}

/** None of the customers' tenants is used: this one is gone when the check ends. */
async function runInPassing(settings: Settings, signal: AbortSignal): Promise<string> {
  const node = runningNode(settings, signal);
  const tenant = await makeTenant(node, 'bootstrap');
  const headers = asKey(tenant.admin);
  try {
    const agentId = `agt_${randomUUID()}`;
    expectStatus(await send(settings, AO, '/v1/agents', { signal, headers, method: 'POST', body: { agent_id: agentId, name: 'agentos bootstrap', instructions: 'Call tool.echo once with the text of the user.', model_ref: 'tier:balanced', tools: ['tool.echo'] } }), [201], 'registering an agent');
    const created = expectStatus(await send(settings, AO, `/v1/agents/${agentId}/runs`, { signal, headers, method: 'POST', body: { input: 'Use tool.echo to repeat: agentos bootstrap', idempotency_key: `idem_${randomUUID()}` } }), [201], 'creating a run');
    const { run_id: runId } = created.body?.['run'] as { run_id: string };
    const events = expectStatus(await send(settings, AO, `/v1/runs/${runId}/events`, { signal, headers: { ...headers, accept: 'text/event-stream' }, timeoutMs: RUN_TIMEOUT_MS }), [200], 'reading its events');
    const { run } = expectStatus(await send(settings, AO, `/v1/runs/${runId}`, { signal, headers }), [200], 'reading the run').body as { run: { status: string } };
    must(run.status === 'completed', `it is ${run.status}`);
    return `${runId}, ${events.text.split('\n').filter((line) => line.startsWith('data:')).length} events`;
  } finally {
    await removeTenant(node, tenant);
  }
}
