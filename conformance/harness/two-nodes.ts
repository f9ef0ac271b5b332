/**
 * Two whole nodes in one test process, each from the compose.ts of its services, over a database of its own. Each has an
 * authority of its own, as two companies would, and they meet over mutual TLS on real sockets. A node can be stopped and
 * started again on the same ports, over the same database.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { createAuthority, stackCertificate, type CertificateAndKey } from './certificate.ts';
import { testDatabase, type TestDatabase } from './database.ts';
import { freePorts } from './free-port.ts';
import { nodeMigrations } from './migrations.ts';
import { startNode, type NodeOptions, type TestNode } from './node.ts';
import { storeKeys } from './keys.ts';
import { seedDatabase } from './seed.ts';

/** What a peers file lets a peer do. */
export interface PeerTrust {
  readonly tenants: readonly string[];
  readonly scopes?: readonly string[];
  readonly authority?: string;
}

export interface FederatedNode {
  readonly stackId: string;
  readonly region: string;
  readonly urls: TestNode['urls'];
  /** Its peers' listener. */
  readonly peerUrl: string;
  readonly database: TestDatabase;
  readonly authority: CertificateAndKey;
  readonly certificate: CertificateAndKey;
  /** certificates, keys and peers.json, as the node reads them. */
  readonly folder: string;
  /** @throws Error while it is stopped. */
  running(): TestNode;
  stop(): Promise<void>;
  /** Does nothing while it runs. @param env in place of what it was told before */
  start(env?: Readonly<Record<string, string>>): Promise<void>;
}

export interface TwoNodes {
  /** Where callers are. */
  readonly a: FederatedNode;
  /** Where work goes. */
  readonly b: FederatedNode;
  /** Makes one tenant on both nodes, with these members on each, and answers its id. */
  tenant(on?: { readonly a?: Readonly<Record<string, unknown>>; readonly b?: Readonly<Record<string, unknown>> }): Promise<string>;
  close(): Promise<void>;
}

export interface TwoNodesOptions {
  readonly mode?: NonNullable<NodeOptions['mode']>;
  readonly env?: Readonly<Record<'a' | 'b', Readonly<Record<string, string>>>>;
  /** Address that the peers' listeners are on; this machine's own when absent. */
  readonly peerHost?: string;
  /** What a node lets the other do; tenants ["*"] when absent. */
  readonly trust?: Partial<Readonly<Record<'a' | 'b', PeerTrust>>>;
}

interface Plan {
  readonly stackId: string;
  readonly region: string;
  readonly ports: readonly number[];
  readonly peerPort: number;
  readonly peerHost: string;
  readonly folder: string;
  readonly authority: CertificateAndKey;
  readonly certificate: CertificateAndKey;
}

export async function startTwoNodes(options: TwoNodesOptions = {}): Promise<TwoNodes> {
  const ports = await freePorts(8);
  const host = options.peerHost ?? '127.0.0.1';
  const a = await planOf('stk_node_a', 'region-a', host, ports.slice(0, 4));
  const b = await planOf('stk_node_b', 'region-b', host, ports.slice(4));
  writePeers(a, b, options.trust?.a);
  writePeers(b, a, options.trust?.b);
  const nodes: FederatedNode[] = [];
  const close = async (): Promise<void> => {
    for (const node of nodes) await node.stop();
    for (const node of nodes) await node.database.drop();
    for (const plan of [a, b]) rmSync(plan.folder, { recursive: true, force: true });
  };
  try {
    for (const [plan, env] of [[a, options.env?.a], [b, options.env?.b]] as const) {
      const node = await nodeOf(plan, options.mode ?? 'demo', env ?? {});
      nodes.push(node);
      await node.start();
    }
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  const [first, second] = nodes as [FederatedNode, FederatedNode];
  return { a: first, b: second, tenant: (on = {}) => tenantOnBoth(first, second, on), close };
}

async function planOf(stackId: string, region: string, peerHost: string, ports: readonly number[]): Promise<Plan> {
  const authority = await createAuthority(`Authority of ${stackId}`);
  const certificate = await stackCertificate(authority, stackId, { names: [...new Set(['localhost', '127.0.0.1', peerHost])] });
  return { stackId, region, ports: ports.slice(0, 3), peerPort: ports[3]!, peerHost, folder: mkdtempSync(join(tmpdir(), `agentos-${stackId}-`)), authority, certificate };
}

/** Certificates, the bundle of authorities and the peers file of `own`, which knows `other`. */
function writePeers(own: Plan, other: Plan, trust: PeerTrust = { tenants: ['*'] }): void {
  const write = (name: string, text: string): void => writeFileSync(join(own.folder, name), text, { mode: 0o600 });
  write('node.crt', own.certificate.cert);
  write('node.key', own.certificate.key);
  write('trusted.pem', own.authority.cert + other.authority.cert);
  const local = { stack_id: own.stackId, environment: 'test', region: own.region, endpoints: endpointsOf(own) };
  const peer = { stack_id: other.stackId, environment: 'test', region: other.region, endpoints: endpointsOf(other), trust };
  write('peers.json', JSON.stringify({ local, peers: [peer] }));
}

function endpointsOf({ ports: [orchestrator, models], peerHost, peerPort }: Plan): Readonly<Record<string, string>> {
  return { 'agent-orchestrator_base_url': `http://127.0.0.1:${orchestrator}`, 'model-policy_base_url': `http://127.0.0.1:${models}`, federation_base_url: `https://${peerHost}:${peerPort}` };
}

async function nodeOf(plan: Plan, mode: NonNullable<NodeOptions['mode']>, env: Readonly<Record<string, string>>): Promise<FederatedNode> {
  const database = await testDatabase({ migrations: nodeMigrations });
  await seedDatabase(database.url);
  if (mode === 'prod') await storeKeys(database.url, [{ principalId: 'svc_operator', scopes: ['tenants:admin'] }]);
  const file = (name: string): string => join(plan.folder, name);
  const settings = {
    AGENTOS_STACK_ID: plan.stackId, AGENTOS_REGION: plan.region, AGENTOS_ENVIRONMENT: 'test', AGENTOS_SIGNING_KEY: randomBytes(48).toString('base64'),
    AGENTOS_FED_PEER_PORT: String(plan.peerPort), AGENTOS_FED_PEER_HOST: plan.peerHost, AGENTOS_PEERS_FILE: file('peers.json'), AGENTOS_FED_REQUIRE_MTLS: 'true',
    AGENTOS_FED_SERVER_CERT: file('node.crt'), AGENTOS_FED_SERVER_KEY: file('node.key'), AGENTOS_FED_CA_CERT: file('trusted.pem'),
    AGENTOS_FED_BASE_BACKOFF_MS: '20', ...env,
  };
  let running: TestNode | null = null;
  return {
    stackId: plan.stackId, region: plan.region, peerUrl: `https://${plan.peerHost}:${plan.peerPort}`, database, authority: plan.authority, certificate: plan.certificate, folder: plan.folder,
    urls: { 'agent-orchestrator': `http://127.0.0.1:${plan.ports[0]}`, 'model-policy': `http://127.0.0.1:${plan.ports[1]}`, federation: `http://127.0.0.1:${plan.ports[2]}` },
    running() {
      if (running === null) throw new Error(`${plan.stackId} is stopped.`);
      return running;
    },
    async start(more = {}) {
      running ??= await startNode({ mode, database, ports: plan.ports, env: { ...settings, ...more } });
    },
    async stop() {
      const node = running;
      running = null;
      await node?.close();
    },
  };
}

async function tenantOnBoth(a: FederatedNode, b: FederatedNode, on: Parameters<TwoNodes['tenant']>[0] = {}): Promise<string> {
  const id = { tenant_id: `tnt_f${ulid().toLowerCase()}` };
  await a.running().tenant({ ...id, ...on.a });
  return b.running().tenant({ ...id, ...on.b });
}
