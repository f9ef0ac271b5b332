import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../platform/config/load.ts';
import { nodeIdentity } from './identity.ts';
import { NO_PEERS, parsePeersFile, PeersFileError } from './peers-file.ts';

const PEER = {
  stack_id: 'stk_b', environment: 'dev', region: 'us-west-2', api_versions: ['v1'],
  endpoints: { 'agent-orchestrator_base_url': 'https://b.example', 'model-policy_base_url': 'https://b.example/models' },
  build: { version: '1.0.2', git_sha: 'abc123', timestamp: '2025-12-19T21:55:00Z' },
};
const file = (value: unknown) => parsePeersFile(JSON.stringify(value));

describe('parsePeersFile', () => {
  it('reads the Appendix form as it is', () => {
    expect(file({ peers: [PEER] })).toEqual({ local: null, peers: [PEER], trust: new Map() });
  });

  it.each([
    { 'agent-orchestrator_base_url': 'http://x.example', 'model-policy_base_url': 'http://y.example' },
    { agent_orchestrator_base_url: 'http://x.example', model_policy_base_url: 'http://y.example/' },
    { stack_a_base_url: 'http://x.example', stack_b_base_url: 'http://y.example' },
  ])('reads every spelling of the endpoint keys: %j', (endpoints) => {
    expect(file({ peers: [{ stack_id: 's', endpoints }] }).peers[0]!.endpoints).toEqual({ 'agent-orchestrator_base_url': 'http://x.example', 'model-policy_base_url': 'http://y.example' });
  });

  it.each([
    [[], '', 'must be an object'],
    [{ peer: [] }, '/peer', 'is not known'],
    [{ peers: {} }, '/peers', 'must be a list'],
    [{ peers: [{ ...PEER, stack_id: '' }] }, '/peers/0/stack_id', 'must be a string'],
    [{ peers: [PEER, { ...PEER, regon: 'x' }] }, '/peers/1/regon', 'is not known'],
    [{ peers: [PEER, PEER] }, '/peers/1/stack_id', 'repeats stk_b'],
    [{ peers: [{ ...PEER, endpoints: { stack_a_base_url: 'http://x.example' } }] }, '/peers/0/endpoints/model-policy_base_url', 'is missing'],
    [{ peers: [{ ...PEER, endpoints: { stack_a_base_url: 'file:///x', stack_b_base_url: 'http://x.example' } }] }, '/peers/0/endpoints/stack_a_base_url', 'must be an http'],
    [{ peers: [{ ...PEER, endpoints: { ...PEER.endpoints, stack_a_base_url: 'http://x.example' } }] }, '/peers/0/endpoints/stack_a_base_url', 'is another spelling'],
    [{ local: { build: { version: '1', git_sha: 'x', timestamp: 'yesterday' } } }, '/local/build/timestamp', 'must be a time'],
    [{ local: { api_versions: 'v1' } }, '/local/api_versions', 'must be a list'],
    [{ local: { trust: { tenants: ['*'] } } }, '/local/trust', 'is not known'],
    [{ peers: [{ ...PEER, trust: ['tnt_a'] }] }, '/peers/0/trust', 'must be an object'],
    [{ peers: [{ ...PEER, trust: { tenant: ['tnt_a'] } }] }, '/peers/0/trust/tenant', 'is not known'],
    [{ peers: [{ ...PEER, trust: { tenants: 'tnt_a' } }] }, '/peers/0/trust/tenants', 'must be a list'],
    [{ peers: [{ ...PEER, trust: { tenants: ['*', 'tnt_a'] } }] }, '/peers/0/trust/tenants', 'names every tenant'],
    [{ peers: [{ ...PEER, trust: { tenants: ['tnt_a', 'tnt a'] } }] }, '/peers/0/trust/tenants/1', 'is no tenant id'],
    [{ peers: [{ ...PEER, trust: { tenants: ['*'], scopes: ['runs:reed'] } }] }, '/peers/0/trust/scopes/0', 'is no scope'],
    [{ peers: [{ ...PEER, trust: { tenants: ['*'], scopes: ['runs:read', 'tenants:admin'] } }] }, '/peers/0/trust/scopes/1', 'reaches beyond one tenant'],
    [{ peers: [{ ...PEER, trust: { tenants: ['*'], authority: 'AB:CD' } }] }, '/peers/0/trust/authority', 'must be a SHA-256 fingerprint'],
  ])('names the place of a mistake in %j', (value, pointer, message) => {
    expect(() => file(value)).toThrowError(PeersFileError);
    expect(() => file(value)).toThrowError(`${pointer === '' ? '/' : pointer} ${message}`);
  });

  it('reads whom a peer may speak for, apart from what others are told of it', () => {
    const authority = Array.from({ length: 32 }, () => 'ab').join(':');
    const { peers, trust } = file({ peers: [{ ...PEER, trust: { tenants: ['tnt_a'], scopes: ['runs:read'], authority } }, { ...PEER, stack_id: 'stk_c', trust: { tenants: ['*'] } }, { ...PEER, stack_id: 'stk_d', trust: {} }] });
    expect(peers[0]).toEqual(PEER);
    expect(trust.get('stk_b')).toEqual({ tenants: new Set(['tnt_a']), scopes: new Set(['runs:read']), authority: authority.toUpperCase() });
    expect(trust.get('stk_c')).toEqual({ tenants: 'all', scopes: null, authority: null });
    expect(trust.get('stk_d')).toEqual({ tenants: new Set(), scopes: null, authority: null });
  });

  it('refuses what is no JSON', () => {
    expect(() => parsePeersFile('{"peers": [')).toThrowError(/not JSON/);
  });
});

describe('nodeIdentity', () => {
  const config = (env: Record<string, string>) => loadConfig({ env, envFile: null });

  it('needs no file', () => {
    const { local, peers } = nodeIdentity(config({}), 'demo', NO_PEERS);
    expect(local).toMatchObject({ stack_id: 'stk_local', environment: 'demo', region: 'local', api_versions: ['v1'] });
    expect(local.endpoints['agent-orchestrator_base_url']).toBe('http://127.0.0.1:50081');
    expect(local.build.version).toMatch(/^1\.0\.2/);
    expect(Date.parse(local.build.timestamp)).toBeGreaterThan(0);
    expect(peers).toEqual([]);
  });

  it('lets the environment go before the file, and the file before the defaults', () => {
    const from = file({ local: { stack_id: 'stk_file', environment: 'file-env', endpoints: PEER.endpoints }, peers: [PEER] });
    const { local } = nodeIdentity(config({ AGENTOS_STACK_ID: 'stk_env', AGENTOS_GIT_SHA: 'abc' }), 'demo', from);
    expect(local).toMatchObject({ stack_id: 'stk_env', environment: 'file-env', endpoints: PEER.endpoints, build: { git_sha: 'abc' } });
  });

  const certificates = { AGENTOS_FED_SERVER_CERT: '/x/node.crt', AGENTOS_FED_SERVER_KEY: '/x/node.key', AGENTOS_FED_CA_CERT: '/x/ca.crt' };
  const forPeers = (env: Record<string, string>, from = NO_PEERS): string | undefined => nodeIdentity(config(env), 'demo', from).local.endpoints.federation_base_url;

  it('tells the address of the listener for peers, where there is one', () => {
    expect(forPeers({}), 'without certificates nothing else is there').toBe('http://127.0.0.1:50083');
    expect(forPeers(certificates)).toBe('https://127.0.0.1:50084');
    expect(forPeers({ ...certificates, AGENTOS_FED_PEER_HOST: '::1', AGENTOS_FED_PEER_PORT: '7000' })).toBe('https://[::1]:7000');
    expect(forPeers({ ...certificates, AGENTOS_FED_PEER_HOST: '0.0.0.0' }), 'no address for anybody').toBe(`https://${hostname()}:50084`);
  });

  it('tells peers what it was told to tell them: the variable first, then the file', () => {
    const told = file({ local: { endpoints: { ...PEER.endpoints, federation_base_url: 'https://file.example:50084' } } });
    expect(forPeers(certificates, told)).toBe('https://file.example:50084');
    expect(forPeers({ ...certificates, AGENTOS_FED_PEER_URL: 'https://env.example:1/' }, told)).toBe('https://env.example:1');
    expect(nodeIdentity(config({ AGENTOS_FED_PEER_URL: 'https://env.example:1' }), 'demo', told).local.endpoints).toMatchObject(PEER.endpoints);
    const without = file({ local: { endpoints: PEER.endpoints } });
    expect([forPeers({}, without), forPeers(certificates, without)]).toEqual([undefined, 'https://127.0.0.1:50084']);
    expect(() => forPeers({ AGENTOS_FED_PEER_URL: 'http://env.example' })).toThrowError(ConfigError);
  });

  it('leaves the node itself out of its peers', () => {
    const { peers } = nodeIdentity(config({ AGENTOS_STACK_ID: 'stk_b' }), 'demo', file({ peers: [PEER, { ...PEER, stack_id: 'stk_c' }] }));
    expect(peers.map((peer) => peer.stack_id)).toEqual(['stk_c']);
  });
});
