/**
 * The checks of `agentos validate`: every service, a fresh run that calls a tool and a model, its event log, replay,
 * idempotency, and that a second tenant sees none of it. They add runs of their own and remove the tenant they make.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Event, Run } from '../../../generated/types/index.ts';
import { expectStatus, send, type ApiAnswer, type ApiRequest } from '../api.ts';
import { operatorHeaders, type Role } from '../identity.ts';
import { SERVICES } from '../services/catalog.ts';
import { probeService } from '../services/probe.ts';
import { listenerOf, type Settings } from '../settings.ts';
import { must, SkippedCheck, type Check } from './checks.ts';

const AO = 'agent-orchestrator';
/** Names the tool, so that the built-in model calls it. */
const PROBE_INPUT = 'Use tool.echo to repeat: agentos validate';
const PROBE_AGENT = 'agt_sample_echo_v1';
const RUN_TIMEOUT_MS = 30_000;
const LOOK_AGAIN_MS = 250;

interface Found {
  run: Run | null;
  events: readonly Event[];
}

/** @param patienceMs how long a service that has just come up may still be busy with itself */
export function validationChecks(settings: Settings, signal: AbortSignal, patienceMs = 0): readonly Check[] {
  const found: Found = { run: null, events: [] };
  const other = `tnt_validate_${randomUUID().slice(0, 8)}`;
  const as = async (tenantId: string, role: Role = 'tenant') => operatorHeaders(settings, role, tenantId, AO);
  const call = async (tenantId: string, path: string, request: ApiRequest = {}, role: Role = 'tenant'): Promise<ApiAnswer> =>
    send(settings, AO, path, { signal, ...request, headers: { ...(await as(tenantId, role)), ...request.headers } });
  const tenant = settings.defaultTenant;
  const known = (): Run => {
    if (found.run === null) throw new SkippedCheck('there is no run to look at');
    return found.run;
  };
  const unready = new Set<string>(SERVICES.map((service) => service.name));
  const services = SERVICES.map((service): Check => ({
    name: `${service.name} is healthy and ready`,
    async run() {
      const detail = await healthy(settings, service.name, patienceMs);
      unready.delete(service.name);
      return detail;
    },
  }));
  const metrics: Check = { name: 'metrics are served', run: () => metricsServed(settings, tenant, signal) };
  // In prod nothing is seeded: there is no tenant and no agent of ours to run, and none of a customer's is taken for it.
  if (settings.mode === 'prod') return [...services, metrics];
  return [
    ...services,
    { name: 'models are listed', run: () => modelsListed(settings, tenant, signal) },
    {
      name: 'a fresh run completes',
      async run() {
        // A run waits for a service that is away, so it would only use up the time of the checks after it.
        if (unready.size > 0) throw new SkippedCheck(`needs every service, and ${[...unready].join(' and ')} ${unready.size === 1 ? 'is' : 'are'} not ready`);
        return freshRun(found, (path, request) => call(tenant, path, request));
      },
    },
    { name: 'its events have no gap and no repeat', run: async () => gapFree(known(), found.events) },
    { name: 'it called a tool and a model', run: async () => calledBoth(known(), found.events) },
    { name: 'reading the events again gives the same', run: async () => replays(known(), found.events, (path, request) => call(tenant, path, request)) },
    { name: 'the same idempotency key gives the same run', run: async () => sameKey(known(), (path, request) => call(tenant, path, request)) },
    { name: 'another tenant sees none of it', run: async () => isolated(known(), other, call) },
    metrics,
  ];
}

async function healthy(settings: Settings, name: string, patienceMs: number): Promise<string> {
  const service = SERVICES.find((entry) => entry.name === name)!;
  for (const deadline = Date.now() + patienceMs; ;) {
    const probe = await probeService(service, listenerOf(settings, service.name));
    if (probe.ready) return `version ${probe.version ?? 'unknown'}`;
    must(probe.healthy && Date.now() < deadline, probe.detail);
    await sleep(LOOK_AGAIN_MS);
  }
}

async function modelsListed(settings: Settings, tenant: string, signal: AbortSignal): Promise<string> {
  const answer = await send(settings, 'model-policy', '/v1/models', { signal, headers: await operatorHeaders(settings, 'tenant', tenant, 'model-policy') });
  expectStatus(answer, [200], 'GET /v1/models');
  const models = answer.body?.['models'];
  must(Array.isArray(models) && models.length > 0, 'no model is listed');
  return `${models.length} models`;
}

type Call = (path: string, request?: ApiRequest) => Promise<ApiAnswer>;

async function freshRun(found: Found, call: Call): Promise<string> {
  const created = expectStatus(await call(`/v1/agents/${PROBE_AGENT}/runs`, { method: 'POST', body: { input: PROBE_INPUT, idempotency_key: `idem_${randomUUID()}` } }), [201], 'creating a run');
  const run = created.body?.['run'] as Run;
  found.events = await readEvents(run.run_id, call);
  found.run = run;
  const last = found.events.at(-1);
  must(last?.type === 'agentos.run.completed', `the run ended with ${last?.type ?? 'no event'}: ${JSON.stringify(last?.payload ?? {})}`);
  const finished = expectStatus(await call(`/v1/runs/${run.run_id}`), [200], 'reading the run').body?.['run'] as Run;
  must(finished.status === 'completed', `its status is ${finished.status} after run.completed`);
  return `${run.run_id}, ${found.events.length} events`;
}

/** The server ends the stream after the terminal event, so the whole body is the whole log. */
async function readEvents(runId: string, call: Call): Promise<readonly Event[]> {
  const answer = expectStatus(await call(`/v1/runs/${runId}/events`, { headers: { accept: 'text/event-stream' }, timeoutMs: RUN_TIMEOUT_MS }), [200], 'reading the events');
  return answer.text
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => (JSON.parse(line.slice(5)) as { event: Event }).event);
}

function gapFree(run: Run, events: readonly Event[]): string {
  must(events.length > 0, 'there are no events');
  events.forEach((event, index) => {
    must(event.sequence === index + 1, `event ${index + 1} has sequence ${event.sequence}`);
    must(event.run_id === run.run_id && event.tenant_id === run.tenant_id, `event ${event.event_id} belongs to another run`);
  });
  must(new Set(events.map((event) => event.event_id)).size === events.length, 'an event id occurs twice');
  return `1 to ${events.length}`;
}

function calledBoth(_run: Run, events: readonly Event[]): string {
  const types = new Set(events.map((event) => event.type));
  const needed = ['agentos.tool.call.requested', 'agentos.tool.call.completed', 'agentos.model.requested', 'agentos.model.completed'];
  const missing = needed.filter((type) => !types.has(type));
  must(missing.length === 0, `missing: ${missing.join(', ')}`);
  return `${events.filter((event) => event.type === 'agentos.tool.call.completed').length} tool calls, ${events.filter((event) => event.type === 'agentos.model.completed').length} model calls`;
}

async function replays(run: Run, events: readonly Event[], call: Call): Promise<string> {
  const again = await readEvents(run.run_id, call);
  must(JSON.stringify(again) === JSON.stringify(events), 'the second reading differs from the first');
  const rest = await call(`/v1/runs/${run.run_id}/events?after_sequence=${events.length - 1}`, { headers: { accept: 'text/event-stream' } });
  must(rest.status === 200 && rest.text.split('\n').filter((line) => line.startsWith('data:')).length === 1, 'after_sequence does not continue after the cursor');
  return 'identical';
}

async function sameKey(_run: Run, call: Call): Promise<string> {
  const body = { input: 'hello', idempotency_key: `idem_${randomUUID()}` };
  const path = `/v1/agents/${PROBE_AGENT}/runs`;
  const first = expectStatus(await call(path, { method: 'POST', body }), [201], 'creating a run');
  const second = expectStatus(await call(path, { method: 'POST', body }), [200], 'creating it again');
  must(runIdOf(first) === runIdOf(second), 'two runs were made for one key');
  const reused = await call(path, { method: 'POST', body: { ...body, input: 'something else' } });
  must(reused.status === 409, `the key with another body answers ${reused.status} in place of 409`);
  return runIdOf(first);
}

function runIdOf(answer: ApiAnswer): string {
  return (answer.body?.['run'] as Run | undefined)?.run_id ?? '';
}

type CallAs = (tenantId: string, path: string, request?: ApiRequest, role?: Role) => Promise<ApiAnswer>;

async function isolated(run: Run, other: string, call: CallAs): Promise<string> {
  const body = { tenant_id: other, name: 'Made and removed by agentos validate', plan_tier: 'standard' };
  expectStatus(await call(run.tenant_id, '/v1/admin/tenants', { method: 'POST', body }, 'platform'), [201], 'creating a second tenant');
  try {
    const probes: ReadonlyArray<readonly [string, string, ApiRequest]> = [
      ['get', `/v1/runs/${run.run_id}`, {}],
      ['events', `/v1/runs/${run.run_id}/events`, { headers: { accept: 'text/event-stream' } }],
      ['cancel', `/v1/runs/${run.run_id}:cancel`, { method: 'POST' }],
    ];
    for (const [what, path, request] of probes) {
      const answer = await call(other, path, request);
      must(answer.status === 404, `${what} answers ${answer.status} to the other tenant in place of 404`);
      must(!answer.text.includes(run.tenant_id), `${what} tells the other tenant whose run it is`);
    }
    const list = expectStatus(await call(other, '/v1/runs'), [200], 'listing the other tenant\'s runs');
    const runs = list.body?.['runs'];
    must(Array.isArray(runs) && runs.length === 0, 'the other tenant\'s list is not empty');
    return 'get, events, cancel: 404; list: empty';
  } finally {
    await call(run.tenant_id, `/v1/admin/tenants/${other}?confirm=${other}&grace_hours=0`, { method: 'DELETE' }, 'platform');
  }
}

async function metricsServed(settings: Settings, tenant: string, signal: AbortSignal): Promise<string> {
  for (const service of SERVICES) {
    const answer = await send(settings, service.name, '/metrics', { signal, headers: await operatorHeaders(settings, 'tenant', tenant, service.name) });
    must(answer.status === 200 && answer.text.includes('# TYPE'), `${service.name} answers ${answer.status} on /metrics`);
  }
  return `${SERVICES.length} services`;
}
