/** Per port: a harmless read, questions that must be refused, and how a stranger asks for what is not theirs. */
import { auditRow } from '../../services/platform/audit/audit-row.ts';
import type { AgentOsError } from '../../services/platform/errors.ts';
import { newId } from '../../services/platform/ids.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { AgentsHarness, AssertionUsesHarness, AuditHarness, CanaryStateHarness, DecisionsHarness, DirectoryHarness, ForwardIndexHarness, MemoryHarness, ModelHarness, PeerHarness, PolicyRulesHarness, PortHarnesses, PortName, ProviderHarness, ReplicaHarness, RunStoreHarness, SecretsHarness, ToolHarness, ToolRegistryHarness, UsageHarness, WebhooksHarness } from './contract.ts';
import { decisionOf } from './decision-fixtures.ts';
import { peerCall } from './peer-fixtures.ts';
import { replicaEvent } from './replica-fixtures.ts';
import { agentDefinition, canceled, create, step } from './run-fixtures.ts';

type Ask<H> = (harness: H, auth: AuthContext) => Promise<unknown>;

export interface Probes<H> {
  /** Touches the store or service behind the adapter, and not a cache. */
  readonly read: Ask<H>;
  readonly refused: Readonly<Record<string, Ask<H>>>;
  readonly foreign: null | {
    /** Makes an object and answers its id. */
    make(harness: H, auth: AuthContext): Promise<string>;
    readonly absent: string;
    readonly ask: Readonly<Record<string, (harness: H, auth: AuthContext, id: string) => Promise<unknown>>>;
  };
}

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const call = () => ({ timeoutMs: 5_000, signal: AbortSignal.timeout(5_000), correlationId: newId('corr'), traceparent: TRACEPARENT });
const chat = (modelRef: string) => ({ request_id: newId('req'), operation: 'chat' as const, model_ref: modelRef, input: { messages: [{ role: 'user' as const, content: 'x' }] } });

const runStore: Probes<RunStoreHarness>['foreign'] = {
  make: async (harness, auth) => {
    const run = await create(harness, auth);
    // Ended, so that no claim of another test meets it.
    await harness.runState.cancelRun(auth, run.runId, canceled(run.runId));
    return run.runId;
  },
  absent: 'run_absent',
  ask: {
    getRun: (harness, auth, id) => harness.runState.getRun(auth, id),
    cancelRun: (harness, auth, id) => harness.runState.cancelRun(auth, id, canceled(id)),
    readEvents: (harness, auth, id) => harness.events.read(auth, id, { after: 0, limit: 10 }),
    release: (harness, auth, id) => harness.queue.release(auth, { tenantId: auth.tenant_id, runId: id, token: 'lse_forged' }, 0),
    advance: (harness, auth, id) => harness.runState.advance(auth, { tenantId: auth.tenant_id, runId: id, token: 'lse_forged' }, step(id, 0)).then(({ outcome }) => outcome, () => 'fenced'),
  },
};

const runState = {
  read: (harness: RunStoreHarness, auth: AuthContext) => harness.runState.listRuns(auth, { limit: 1 }),
  refused: {
    'a run that there is not': (harness: RunStoreHarness, auth: AuthContext) => harness.runState.getRun(auth, newId('run')),
    'canceling a run that there is not': (harness: RunStoreHarness, auth: AuthContext) => harness.runState.cancelRun(auth, 'run_absent', canceled('run_absent')),
  },
  foreign: runStore,
  /** Used by the waking part: a run and its id. */
  queuedRun: async (harness: RunStoreHarness, auth: AuthContext) => ({ run: await runStore.make(harness, auth) }),
};

const agents: Probes<AgentsHarness> = {
  read: ({ agents }, auth) => agents.list(auth, { limit: 1 }),
  refused: { 'an agent that there is not': ({ agents }, auth) => agents.get(auth, 'agt_absent') },
  foreign: {
    make: async ({ agents }, auth) => (await agents.put(auth, { ...agentDefinition('agt_owned'), status: 'active' })).agentId,
    absent: 'agt_nobody',
    ask: { get: ({ agents }, auth, id) => agents.get(auth, id) },
  },
};

const memory: Probes<MemoryHarness> = {
  read: ({ memory }, auth) => memory.get(auth, 'n', `k${Math.random()}`),
  refused: {
    'a key without characters': ({ memory }, auth) => memory.put(auth, { namespace: 'n', key: '', value: 1 }),
    'a key that is too long': ({ memory }, auth) => memory.put(auth, { namespace: 'n', key: 'k'.repeat(300), value: 1 }),
  },
  foreign: {
    make: async ({ memory }, auth) => (await memory.put(auth, { namespace: 'n', key: 'owned', value: 'theirs' }), 'owned'),
    absent: 'nobodys',
    ask: {
      get: ({ memory }, auth, key) => memory.get(auth, 'n', key),
      delete: ({ memory }, auth, key) => memory.delete(auth, 'n', key),
      list: async ({ memory }, auth, key) => memory.list(auth, 'n', { limit: 10, prefix: key }),
    },
  },
};

const tool: Probes<ToolHarness> = {
  read: ({ tools }, auth) => tools.list(auth),
  refused: {
    'a tool that there is not': ({ tools }, auth) => tools.invoke(auth, { toolId: 'tool.absent', input: {}, toolCallId: newId('tcall'), timeoutMs: 1_000, signal: AbortSignal.timeout(1_000), traceparent: TRACEPARENT }),
  },
  foreign: null,
};

const registry: Probes<ToolRegistryHarness> = {
  read: ({ registry }, auth) => registry.load(auth),
  refused: {
    'deleting a tool that there is not': ({ registry }, auth) => registry.deleteTool(auth, 'tool.absent'),
    'deleting a server that there is not': ({ registry }, auth) => registry.deleteServer(auth, 'absent'),
  },
  foreign: {
    make: async ({ registry }, auth) => (await registry.createServer(auth, { serverId: 'owned', transport: { type: 'streamable_http', url: 'https://mcp.example.com/' }, toolsAllowed: null, timeoutMs: 1_000, enabled: true }, null)).serverId,
    absent: 'nobodys',
    ask: {
      delete: ({ registry }, auth, id) => registry.deleteServer(auth, id),
      load: ({ registry }, auth) => registry.load(auth),
    },
  },
};

const model: Probes<ModelHarness> = {
  read: ({ model }, auth) => model.listModels(auth, call()),
  refused: { 'a model that there is not': ({ model }, auth) => model.chat(auth, chat('absent-model'), call()) },
  foreign: null,
};

const provider: Probes<ProviderHarness> = {
  read: ({ provider }) => provider.health(AbortSignal.timeout(5_000)),
  refused: {
    'a model that it does not have': ({ provider }, auth) =>
      provider.chat(auth, { model: 'absent-model', messages: [{ role: 'user', content: 'x' }], tools: [], toolChoice: 'auto' }, { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', signal: AbortSignal.timeout(5_000) }),
  },
  foreign: null,
};

const policyRules: Probes<PolicyRulesHarness> = {
  // A tenant of its own each time: answers are remembered for a moment.
  read: ({ rules }, auth) => rules.get({ ...auth, tenant_id: `tnt_absent_${Math.random().toString(36).slice(2)}` }, null),
  refused: { 'a rule set that there is not': ({ rules }, auth) => rules.get(auth, 'pol_absent') },
  foreign: null,
};

const directory: Probes<DirectoryHarness> = {
  // Fresh each time: answers are remembered for a moment.
  read: ({ directory }) => directory.getTenant(null, `tnt_absent_${Math.random().toString(36).slice(2)}`),
  refused: {
    'changing a tenant that there is not': ({ directory }, auth) => directory.updateTenant(auth, 'tnt_absent', { name: 'x' }),
    'deleting a tenant that there is not': ({ directory }, auth) => directory.deleteTenant(auth, 'tnt_absent'),
  },
  foreign: null,
};

const audit: Probes<AuditHarness> = {
  read: ({ audit }, auth) => audit.list(auth, { limit: 1 }),
  refused: {},
  foreign: {
    make: async ({ audit }, auth) => {
      const row = auditRow('suite', auth, { action: 'suite.owned', resource: { type: 'thing', id: newId('req') } });
      await audit.append(auth, [row]);
      return row.entry.resource!.id;
    },
    absent: 'req_absent',
    ask: { list: ({ audit }, auth, resourceId) => audit.list(auth, { limit: 10, resourceId }) },
  },
};

const webhooks: Probes<WebhooksHarness> = {
  read: ({ webhooks }, auth) => webhooks.list(auth, { limit: 1 }),
  refused: {
    'a webhook that there is not': ({ webhooks }, auth) => webhooks.get(auth, 'whk_absent'),
    'the deliveries of a webhook that there is not': ({ webhooks }, auth) => webhooks.listDeliveries(auth, 'whk_absent', { limit: 1 }),
  },
  foreign: {
    make: async ({ webhooks }, auth) => {
      const definition = { url: 'https://hooks.example.com/', eventTypes: ['*'], agentIds: null, enabled: false, description: null };
      return (await webhooks.create(auth, { ...definition, webhookId: newId('whk'), secret: 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', limit: 5, idempotency: null })).webhook.webhookId;
    },
    absent: 'whk_absent',
    ask: {
      get: ({ webhooks }, auth, id) => webhooks.get(auth, id),
      target: ({ webhooks }, auth, id) => webhooks.target(auth, id),
      delete: ({ webhooks }, auth, id) => webhooks.delete(auth, id),
      deliveries: ({ webhooks }, auth, id) => webhooks.listDeliveries(auth, id, { limit: 1 }),
    },
  },
};

const usage: Probes<UsageHarness> = {
  read: ({ usage }, auth) => usage.entries(auth, { limit: 1 }),
  refused: {},
  foreign: null,
};

const decisions: Probes<DecisionsHarness> = {
  read: ({ decisions }, auth) => decisions.list(auth, { limit: 1 }),
  refused: { 'a decision that there is not': ({ decisions }, auth) => decisions.get(auth, 'req_absent') },
  foreign: {
    make: async ({ decisions }, auth) => {
      const decision = decisionOf(auth);
      await decisions.record(auth, decision);
      return decision.request_id;
    },
    absent: 'req_absent',
    ask: { get: ({ decisions }, auth, id) => decisions.get(auth, id) },
  },
};

const canaryState: Probes<CanaryStateHarness> = {
  read: ({ canaryState }) => canaryState.rolledBack(),
  refused: {},
  foreign: null,
};

const secrets: Probes<SecretsHarness> = {
  read: async ({ secrets, put }) => (await secrets.get(null, await put('probe', 'x'))).value,
  refused: {
    'a secret that there is not': async ({ secrets, put, remove }) => {
      const name = await put('gone', 'x');
      await remove('gone');
      return secrets.get(null, name);
    },
  },
  foreign: {
    make: ({ put }, auth) => put(`of-${auth.tenant_id}`, 'x'),
    absent: 'absent/secret#value',
    ask: { get: ({ secrets }, auth, id) => secrets.get(auth, id) },
  },
};

const replica: Probes<ReplicaHarness> = {
  read: ({ replica }, auth) => replica.extent(auth, 'run_absent'),
  refused: {
    'an event of another tenant': ({ replica }, auth) => replica.store(auth, 'stk_probe', [replicaEvent({ ...auth, tenant_id: 'tnt_another' }, newId('run'), 1)]),
  },
  foreign: {
    make: async ({ replica }, auth) => {
      const runId = newId('run');
      await replica.store(auth, 'stk_probe', [replicaEvent(auth, runId, 1)]);
      return runId;
    },
    absent: 'run_absent',
    ask: {
      read: ({ replica }, auth, id) => replica.read(auth, id, { sequence: 0, limit: 10 }),
      extent: ({ replica }, auth, id) => replica.extent(auth, id),
      store: ({ replica }, auth, id) => replica.store(auth, 'stk_probe', [replicaEvent(auth, id, 1)]),
    },
  },
};

const forwardIndex: Probes<ForwardIndexHarness> = {
  read: ({ index }, auth) => index.findByRun(auth, 'run_absent'),
  refused: { 'completing a forward that there is not': ({ index }, auth) => index.complete(auth, 'fwd_absent', { runId: 'run_x', eventsUrl: 'https://b.example/', status: 'queued' }) },
  foreign: {
    make: async ({ index }, auth) => {
      const [forwardId, runId] = [newId('fwd'), newId('run')];
      await index.begin(auth, { forwardId, targetStackId: 'stk_b', run: { agent_id: 'agt_x', input: 'x' }, correlationId: 'corr_probe', idempotency: null });
      await index.complete(auth, forwardId, { runId, eventsUrl: 'https://b.example/', status: 'queued' });
      return runId;
    },
    absent: 'run_absent',
    ask: { findByRun: ({ index }, auth, id) => index.findByRun(auth, id) },
  },
};

const peer: Probes<PeerHarness> = {
  read: ({ peer, target }, auth) => peer.getRun(auth, target, 'run_absent', peerCall()).catch((error: AgentOsError) => (error.code === 'not_found' ? 'absent' : Promise.reject(error))),
  refused: {
    'a run that there is not': ({ peer, target }, auth) => peer.getRun(auth, target, 'run_absent', peerCall()),
    'canceling a run that there is not': ({ peer, target }, auth) => peer.cancelRun(auth, target, 'run_absent', peerCall()),
    'the events of a run that there is not': ({ peer, target }, auth) => peer.openEvents(auth, target, { runId: 'run_absent', afterSequence: 0 }, peerCall()),
  },
  foreign: {
    make: async ({ peer, target }, auth) => (await peer.createRun(auth, target, { idempotencyKey: `fed:stk_a:${newId('fwd')}`, run: { agent_id: 'agt_x', input: 'x' } }, peerCall())).runId,
    absent: 'run_absent',
    ask: {
      get: ({ peer, target }, auth, id) => peer.getRun(auth, target, id, peerCall()),
      cancel: ({ peer, target }, auth, id) => peer.cancelRun(auth, target, id, peerCall()),
      events: ({ peer, target }, auth, id) => peer.openEvents(auth, target, { runId: id, afterSequence: 0 }, peerCall()),
    },
  },
};

const assertionUses: Probes<AssertionUsesHarness> = {
  read: ({ uses }) => uses.use({ issuer: 'stk_probe', jti: newId('jti'), expiresAtMs: Date.now() + 60_000 }),
  refused: {},
  foreign: null,
};

export const probes = {
  'run-state': runState,
  queue: { ...runState, read: ({ queue }: RunStoreHarness) => queue.depth({ workerId: 'wrk_probe' }) },
  events: { ...runState, read: ({ events }: RunStoreHarness, auth: AuthContext) => events.read(auth, 'run_absent', { after: 0, limit: 1 }) },
  agents, memory, tool, 'tool-registry': registry, model, provider, 'policy-rules': policyRules, directory, audit, webhooks, usage, decisions, 'canary-state': canaryState, secrets, replica, 'forward-index': forwardIndex, peer, 'assertion-uses': assertionUses,
} satisfies { readonly [Name in PortName]: Probes<PortHarnesses[Name]> };
