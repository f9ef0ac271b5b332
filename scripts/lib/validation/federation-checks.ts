/**
 * What goes from one node to the other: the two know each other by their certificates, a run that the first one forwards
 * completes on the second, its events come back through the first, and both write down who asked whom.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditRecord, Event, FederationForwardAnswer, Run } from '../../../generated/types/index.ts';
import { expectStatus, send, type ApiAnswer, type ApiRequest } from '../api.ts';
import { shakeHands, type Handshake } from '../federation/handshake.ts';
import { readPeersDocument } from '../federation/peers-document.ts';
import { operatorHeaders } from '../identity.ts';
import type { ServiceName } from '../services/catalog.ts';
import type { Settings } from '../settings.ts';
import { must, SkippedCheck, type Check } from './checks.ts';

const PROBE_AGENT = 'agt_sample_echo_v1';
const PROBE_TEXT = 'Use tool.echo to repeat: agentos validate';
const STREAM_TIMEOUT_MS = 30_000;
const SETTLE_LOOKS = 20;
const SETTLE_LOOK_MS = 200;
const NODES_LOOK_MS = 1_200;

interface Found {
  runId: string | null;
  events: readonly Event[];
}

export function federationChecks(first: Settings, second: Settings, signal: AbortSignal): readonly Check[] {
  const found: Found = { runId: null, events: [] };
  const forwarded = (): string => {
    if (found.runId === null) throw new SkippedCheck('no run was forwarded');
    return found.runId;
  };
  const call = async (node: Settings, service: ServiceName, path: string, request: ApiRequest = {}): Promise<ApiAnswer> =>
    send(node, service, path, { signal, ...request, headers: { ...(await operatorHeaders(node, 'tenant', first.defaultTenant, service)), ...request.headers } });
  const between = (name: string, run: () => Promise<string>): Check => ({ name, run, betweenNodes: true });
  const meet = between('node-a and node-b know each other by their certificates', () => handshakes(first, second));
  if (first.mode === 'prod') return [meet];
  return [
    meet,
    between('a run forwarded to node-b completes there', async () => {
      found.runId = await forward(first, second, call);
      found.events = await eventsThrough(first, found.runId, call);
      const last = found.events.at(-1);
      must(last?.type === 'agentos.run.completed', `it ended with ${last?.type ?? 'no event'}: ${JSON.stringify(last?.payload ?? {})}`);
      return `${found.runId}, ${found.events.length} events through node-a`;
    }),
    between('its events come back whole, in order, each once', async () => inOrder(forwarded(), first.defaultTenant, found.events)),
    between('node-b has it under the same tenant and principal', async () => sameOwner(forwarded(), first, second, call)),
    between('both nodes recorded whose peer it was', async () => audited(forwarded(), first, second, call)),
  ];
}

type Call = (node: Settings, service: ServiceName, path: string, request?: ApiRequest) => Promise<ApiAnswer>;

const stackIdOf = (node: Settings): string => readPeersDocument(node.home)?.local.stack_id ?? node.config.values.AGENTOS_STACK_ID;

async function handshakes(first: Settings, second: Settings): Promise<string> {
  for (const [own, other] of [[first, second], [second, first]] as const) {
    const { local } = readPeersDocument(other.home)!;
    const url = local.endpoints.federation_base_url;
    const met = await untilMet(own, url);
    must(met.outcome === 'met', `${own.node} is not let in at ${url}: ${met.outcome === 'met' ? '' : met.reason}`);
    must(met.peer.stackId === local.stack_id, `the certificate at ${url} names ${met.peer.stackId ?? 'no stack'}, not ${local.stack_id}`);
    const stranger = await shakeHands(null, own.home, url);
    must(stranger.outcome === 'refused', `${url} lets a caller in that has no certificate`);
  }
  return 'both ways; without a certificate neither answers';
}

/**
 * What was written to a node's files a moment ago it takes into use at its next look, at most a second later: the
 * certificates, which a handshake shows, and the list of peers, which it does not.
 */
async function untilMet(own: Settings, url: string): Promise<Handshake> {
  const first = await shakeHands(own.home, own.home, url);
  if (first.outcome === 'met') return first;
  for (let left = SETTLE_LOOKS; left > 0; left -= 1) {
    await sleep(SETTLE_LOOK_MS);
    const met = await shakeHands(own.home, own.home, url);
    if (met.outcome !== 'met') continue;
    await sleep(NODES_LOOK_MS);
    return met;
  }
  return first;
}

async function forward(first: Settings, second: Settings, call: Call): Promise<string> {
  const tenant = first.defaultTenant;
  const body = {
    forward: {
      target_selector: { stack_id: stackIdOf(second) },
      auth: { tenant_id: tenant, principal: { principal_id: 'usr_tnt_demo_admin', principal_type: 'user' }, scopes: ['runs:forward'] },
      run_request: { agent_id: PROBE_AGENT, input: { type: 'text', text: PROBE_TEXT }, idempotency_key: `idem_${randomUUID()}` },
    },
  };
  const made = expectStatus(await call(first, 'federation', '/v1/federation/runs:forward', { method: 'POST', body }), [200], 'forwarding a run');
  const { forwarded } = made.body as unknown as FederationForwardAnswer;
  must(forwarded.remote_stack_id === stackIdOf(second), `it went to ${forwarded.remote_stack_id}`);
  must(forwarded.tenant_id === tenant, `it runs for ${forwarded.tenant_id}`);
  return forwarded.remote_run_id;
}

/** The stream ends after the run's last event, so the whole body is the whole log. */
async function eventsThrough(first: Settings, runId: string, call: Call): Promise<readonly Event[]> {
  const answer = expectStatus(await call(first, 'federation', `/v1/federation/runs/${runId}/events`, { headers: { accept: 'text/event-stream' }, timeoutMs: STREAM_TIMEOUT_MS }), [200], 'reading its events through node-a');
  return answer.text.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => (JSON.parse(line.slice(5)) as { event: Event }).event);
}

function inOrder(runId: string, tenantId: string, events: readonly Event[]): string {
  must(events.length > 0, 'there are no events');
  events.forEach((event, index) => {
    must(event.sequence === index + 1, `event ${index + 1} has sequence ${event.sequence}`);
    must(event.run_id === runId && event.tenant_id === tenantId, `event ${event.event_id} belongs to another run or tenant`);
  });
  must(new Set(events.map((event) => event.event_id)).size === events.length, 'an event id occurs twice');
  return `1 to ${events.length}`;
}

async function sameOwner(runId: string, first: Settings, second: Settings, call: Call): Promise<string> {
  const there = expectStatus(await call(second, 'agent-orchestrator', `/v1/runs/${runId}`), [200], 'reading the run on node-b').body?.['run'] as Run;
  const here = await call(first, 'agent-orchestrator', `/v1/runs/${runId}`);
  must(here.status === 404, `node-a answers ${here.status} for a run that it does not execute`);
  must(there.tenant_id === first.defaultTenant, `it belongs to ${there.tenant_id} there`);
  return `${there.tenant_id}, ${there.status}`;
}

async function audited(runId: string, first: Settings, second: Settings, call: Call): Promise<string> {
  const seen: string[] = [];
  for (const [node, action, peer] of [[first, 'run.forward', stackIdOf(second)], [second, 'run.receive', stackIdOf(first)]] as const) {
    const page = expectStatus(await call(node, 'agent-orchestrator', `/v1/audit?action=${action}&limit=50`), [200], `reading the audit of ${node.node}`).body;
    const record = (page?.['records'] as readonly AuditRecord[]).find((each) => each.resource?.id === runId);
    must(record !== undefined, `${node.node} has no ${action} of ${runId}`);
    must(record.peer === peer, `${node.node} names the peer ${record.peer ?? 'nobody'}, not ${peer}`);
    seen.push(`${node.node}: ${action} with ${peer}`);
  }
  return seen.join('; ');
}
