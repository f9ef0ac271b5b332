import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { validators } from '../../../generated/validators/schemas.js';
import { createIdentity } from '../../platform/auth/identity.ts';
import { createServiceTokenIssuer, createServiceTokenVerifier, serviceTokenKey } from '../../platform/auth/service-token.ts';
import { loadConfig } from '../../platform/config/load.ts';
import type { ServiceServer } from '../../platform/http/server.ts';
import { createLogger } from '../../platform/telemetry/logger.ts';
import { createMetrics } from '../../platform/telemetry/metrics.ts';
import { MemoryDirectory } from '../../platform/tenancy/directory-memory.ts';
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import { createNodeModelsSource } from '../adapters/model-policy-models.ts';
import { LocalPeer } from '../adapters/peer-local.ts';
import { forwardingOver } from '../federation.fixture.ts';
import { nodeIdentity } from '../peers/identity.ts';
import { EVENT_BACKHAUL } from '../peers/capabilities.ts';
import { createOwnDescription } from '../peers/own-description.ts';
import { parsePeersFile } from '../peers/peers-file.ts';
import { createReplication } from '../replication/replication.ts';
import { createFederation } from '../service.ts';

const KEY = serviceTokenKey('a-key-of-more-than-thirty-two-bytes!');
const MODELS = [
  { model_id: 'a', provider: 'vllm', capabilities: ['chat'], context_window_tokens: 32768, tiers: ['fast', 'balanced'] },
  { model_id: 'b', provider: 'builtin', capabilities: ['embed'], context_window_tokens: 1024, tiers: ['fast'] },
];

describe('Federation over HTTP', () => {
  let federation: ServiceServer;
  let modelPolicy: Server;
  let url: string;
  const seen: Array<{ tenant: string; scopes: readonly string[]; principal: string }> = [];
  let modelsStatus = 200;

  beforeAll(async () => {
    const verifier = createServiceTokenVerifier(KEY, 'model-policy');
    modelPolicy = createServer(async (request, response) => {
      if (request.url === '/v1/models') {
        const auth = await verifier.verify((request.headers.authorization ?? '').replace('Bearer ', ''));
        seen.push({ tenant: auth.tenant_id, scopes: auth.scopes, principal: auth.principal.principal_id });
      }
      response.writeHead(request.url === '/v1/models' ? modelsStatus : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ models: MODELS }));
    });
    await new Promise<void>((resolve) => modelPolicy.listen(0, '127.0.0.1', resolve));
    const directory = new MemoryDirectory();
    for (const tenant_id of ['tnt_demo', 'tnt_other']) await directory.createTenant({} as never, { tenant_id });
    const log = createLogger({ service: 'federation', level: 'silent' });
    const file = parsePeersFile(JSON.stringify({ peers: [{ stack_id: 'stk_b', endpoints: { stack_a_base_url: 'https://b.example', stack_b_base_url: 'https://b.example/m' } }] }));
    const models = createNodeModelsSource({ baseUrl: `http://127.0.0.1:${(modelPolicy.address() as AddressInfo).port}`, tokens: createServiceTokenIssuer(KEY, 'federation'), log });
    const node = nodeIdentity(loadConfig({ env: { AGENTOS_STACK_ID: 'stk_a', AGENTOS_REGION: 'eu-1' }, envFile: null }), 'demo', file);
    const own = createOwnDescription({ node, models, trusted: false, limits: { maxConcurrentRuns: 16, maxEventStreams: 100 } });
    const local = new LocalPeer({ baseUrl: 'http://127.0.0.1:9', credentials: async () => ({}), describe: (auth) => own.describe(auth.tenant_id) });
    const { forwarding, runs, nodes, index } = forwardingOver({ local, own: node.local, peers: node.peers });
    const replication = createReplication({ node, nodes, index, replica: new MemoryReplica(), audit: new MemoryAudit(), metrics: null, log, maxAttempts: 2, baseBackoffMs: 1 });
    federation = createFederation({
      node, own, forwarding, runs, models, ...replication,
      directory, identity: createIdentity({ mode: 'demo', directory }), log,
      metrics: createMetrics({ service: 'federation', process: false }),
      checks: {}, contractCheck: true, limits: { stopGraceMs: 0 },
    });
    url = await federation.listen(0);
  });
  afterAll(async () => {
    await federation.close();
    modelPolicy.close();
  });

  const get = async (path: string, tenant: string | null = 'tnt_demo') => {
    const response = await fetch(`${url}${path}`, { headers: tenant === null ? {} : { 'x-tenant-id': tenant } });
    return { status: response.status, body: (await response.json()) as Record<string, any> };
  };

  it.each(['/v1/federation/peer', '/v1/peer/info'])('tells who it is at %s', async (path) => {
    const { status, body } = await get(path);
    expect(status).toBe(200);
    expect(body['peer']).toMatchObject({ stack_id: 'stk_a', region: 'eu-1', environment: 'demo' });
    expect(validators.PeerInfoResponse(body)).toBe(true);
  });

  it.each(['/v1/federation/peer/capabilities', '/v1/peer/capabilities'])('tells what it can do at %s, asking Model Policy for the caller', async (path) => {
    const { status, body } = await get(path);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      peer_id: 'stk_a', protocol: '1.0', event_backhaul: EVENT_BACKHAUL,
      capabilities: {
        supports: { runs_forward: false, events_stream: EVENT_BACKHAUL.mode === 'sse', tenant_isolation: true, tool_hosting: false },
        limits: { max_concurrent_runs: 16, max_event_streams: 100 },
        models: { tiers: ['fast', 'balanced'], backends: ['vllm', 'builtin'], max_context_tokens: 32768 },
        features: expect.arrayContaining(['tenant.isolation']),
      },
    });
    expect(seen.at(-1)).toEqual({ tenant: 'tnt_demo', scopes: ['models:list'], principal: 'svc_federation' });
  });

  it('tells what it knows when Model Policy fails', async () => {
    modelsStatus = 500;
    const { status, body } = await get('/v1/peer/capabilities', 'tnt_other');
    modelsStatus = 200;
    expect(status).toBe(200);
    expect(body['capabilities'].models).toEqual({ tiers: [], backends: [], max_context_tokens: 0 });
  });

  it('lists its peers', async () => {
    expect((await get('/v1/federation/peers')).body['peers']).toMatchObject([{ stack_id: 'stk_b', endpoints: { 'agent-orchestrator_base_url': 'https://b.example' } }]);
  });

  it('answers strangers with 401', async () => {
    expect((await get('/v1/federation/peer', null)).status).toBe(401);
    expect((await get('/v1/federation/peer', 'tnt_nobody')).body['error'].code).toBe('tenant_unknown');
  });

  it('is healthy and ready for anyone, and unready without Model Policy', async () => {
    for (const path of ['/v1/federation/health', '/v1/health', '/healthz']) expect((await get(path, null)).body).toMatchObject({ status: 'ok', service: 'federation' });
    expect(await get('/readyz', null)).toMatchObject({ status: 200, body: { checks: [{ name: 'model-policy', status: 'ok' }] } });
    await new Promise<void>((resolve) => { modelPolicy.close(() => resolve()); modelPolicy.closeAllConnections(); });
    await expect.poll(async () => (await get('/readyz', null)).status, { timeout: 5_000 }).toBe(503);
  });
});
