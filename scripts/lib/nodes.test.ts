/** The second node is the first one's settings, save what is its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { nodesOf, nodesThere, secondHome, secondNode, sourceNames, splitNode } from './nodes.ts';
import type { ServiceName } from './services/catalog.ts';
import { writeState } from './services/state.ts';
import { loadSettings, rememberedProfileFile, serviceEnvironment, type Settings } from './settings.ts';
import { ensureStateFolder } from './state-folder.ts';

let home: string;
beforeEach(() => { home = path.join(mkdtempSync(path.join(tmpdir(), 'agentos-nodes-')), '.agentos'); });
afterEach(() => rmSync(path.dirname(home), { recursive: true, force: true }));

const first = (env: NodeJS.ProcessEnv = {}, profile = 'federated'): Settings => loadSettings({ profile }, { AGENTOS_HOME: home, ...env });
const environmentOf = (node: Settings): Readonly<Record<string, string>> => serviceEnvironment(node, { databaseUrlFile: '/d', signingKeyFile: path.join(node.home, 'secrets/signing-key') });

describe('the second node', () => {
  it('has ports, folder and database of its own, a hundred above', verifies(['PRS-8.1-09'], () => {
    const node = secondNode(first());
    expect(node).toMatchObject({ node: 'node-b', home: path.join(home, 'node-b'), ports: { 'agent-orchestrator': 50181, 'model-policy': 50182, federation: 50183 }, peerPort: 50184, databaseUrl: null, mode: 'demo' });
    expect(secondNode(first({ AGENTOS_MODEL_POLICY_PORT: '6000', AGENTOS_FED_PEER_PORT: '7000' }))).toMatchObject({ ports: { 'agent-orchestrator': 50181, 'model-policy': 6100 }, peerPort: 7100 });
    expect(environmentOf(node)).toMatchObject({ AGENTOS_MODEL_POLICY_URL: 'http://127.0.0.1:50182', AGENTOS_DATA_DIR: node.home, AGENTOS_FED_PEER_PORT: '50184' });
  }));

  it('is told what the first one is told, and nothing that is the first one\'s alone', () => {
    mkdirSync(home, { recursive: true });
    writeFileSync(path.join(home, '.agentos.env'), 'OPENAI_BASE_URL=http://127.0.0.1:9/v1\nAGENTOS_LOG_LEVEL=debug\nAGENTOS_WORKER_CONCURRENCY=3\nDATABASE_URL=postgres://u:p@h/first\nAGENTOS_STACK_ID=stk_first\n');
    mkdirSync(secondHome(home), { recursive: true });
    writeFileSync(path.join(secondHome(home), '.agentos.env'), 'AGENTOS_LOG_LEVEL=warn\nAGENTOS_WORKER_CONCURRENCY=5\nAGENTOS_FEDERATION_PORT=51999\n');
    const secret = (name: string): string => {
      writeFileSync(path.join(home, name), `${name} of the first one, long enough to sign with`);
      return path.join(home, name);
    };
    const node = secondNode(first({ AGENTOS_SIGNING_KEY_FILE: secret('key'), AGENTOS_API_KEY: 'aos_live_first', AGENTOS_FED_SERVER_KEY_FILE: '/first.pem', AGENTOS_WORKER_CONCURRENCY: '9', PATH: '/bin' }));
    const { values } = node.config;
    expect([values.OPENAI_BASE_URL, values.AGENTOS_LOG_LEVEL, values.AGENTOS_WORKER_CONCURRENCY, node.ports.federation], 'environment, then its file, then the file of the first').toEqual(['http://127.0.0.1:9/v1', 'warn', 9, 51999]);
    expect(node).toMatchObject({ databaseUrl: null, apiKey: null });
    const environment = environmentOf(node);
    expect(environment).toMatchObject({ PATH: '/bin', DATABASE_URL_FILE: '/d', AGENTOS_SIGNING_KEY_FILE: path.join(node.home, 'secrets/signing-key') });
    expect(JSON.stringify(environment)).not.toContain('first');
  });

  it('is there while the profile says so, and is found for as long as its folder is', () => {
    expect(nodesOf(first({}, 'local')).map((node) => node.node)).toEqual(['node-a']);
    expect(nodesOf(first()).map((node) => node.node)).toEqual(['node-a', 'node-b']);
    ensureStateFolder(home);
    ensureStateFolder(secondHome(home));
    expect(nodesThere(first({}, 'local')).map((node) => node.node)).toEqual(['node-a', 'node-b']);
    writeFileSync(rememberedProfileFile(home), 'federated\n');
    expect(loadSettings({}, { AGENTOS_HOME: home }).profile).toBe('federated');
    expect(loadSettings({}, { AGENTOS_HOME: home, AGENTOS_PROFILE: 'local' }).profile).toBe('local');
  });

  it('is found, as the first one is, where up said it should listen, without the variables that up was given', () => {
    const state = (of: string, service: ServiceName, port: number): void => writeState(of, { service, pid: 1, startedAt: '', command: [], marks: ['-'], host: '::1', port, tls: true, buildId: '', settingsId: '', logFile: '' });
    state(home, 'agent-orchestrator', 6001);
    state(secondHome(home), 'agent-orchestrator', 6002);
    const later = loadSettings({ profile: 'federated', asBroughtUp: true }, { AGENTOS_HOME: home, AGENTOS_AGENT_ORCHESTRATOR_PORT: '6003' });
    expect([later, secondNode(later)].map(({ host, ports, tls }) => [host, ports['agent-orchestrator'], ports.federation, tls])).toEqual([['::1', 6001, 50083, true], ['::1', 6002, 50183, true]]);
    expect(environmentOf(later), 'restarted, it stays there').toMatchObject({ AGENTOS_AGENT_ORCHESTRATOR_PORT: '6001', AGENTOS_HOST: '::1' });
    expect(first({ AGENTOS_AGENT_ORCHESTRATOR_PORT: '6003' }).ports['agent-orchestrator'], 'up goes by what it is told').toBe(6003);
  });

  it('is named before its services', () => {
    const nodes = nodesOf(first());
    expect(['model-policy', 'node-b/model-policy', 'node-b', 'node-bx'].map((word) => splitNode(nodes, word)).map(({ node, name }) => [node.node, name])).toEqual([['node-a', 'model-policy'], ['node-b', 'model-policy'], ['node-b', ''], ['node-a', 'node-bx']]);
    expect(sourceNames(nodes)).toEqual(expect.arrayContaining(['postgres', 'federation', 'node-b/postgres', 'node-b/federation']));
  });
});
