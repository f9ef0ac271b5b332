import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../platform/config/load.ts';
import { nodeIdentity } from './identity.ts';
import { openPeers, type LivePeers } from './live-peers.ts';

const folder = mkdtempSync(join(tmpdir(), 'agentos-peers-'));
const path = join(folder, 'peers.json');
const endpoints = { 'agent-orchestrator_base_url': 'https://b.test', 'model-policy_base_url': 'https://b.test' };
const write = (value: unknown): void => writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
const lines: string[] = [];
const log = pino({}, { write: (line: string) => void lines.push(line) });
let peers: LivePeers | null = null;
afterEach(() => {
  peers?.close();
  lines.length = 0;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the peers file', () => {
  it('is followed; what cannot be used is told of and changes nothing', async () => {
    write({ local: { stack_id: 'stk_a' }, peers: [{ stack_id: 'stk_b', endpoints }] });
    peers = openPeers(path, log);
    const node = nodeIdentity(loadConfig({ env: {}, envFile: null }), 'demo', peers.current);
    const known = (): readonly string[] => node.peers.map((peer) => peer.stack_id);
    expect(known()).toEqual(['stk_b']);
    write({ local: { stack_id: 'stk_z' }, peers: [{ stack_id: 'stk_b', endpoints }, { stack_id: 'stk_c', endpoints, trust: { tenants: ['tnt_a'] } }, { stack_id: 'stk_a', endpoints }] });
    await expect.poll(known, { timeout: 10_000 }).toEqual(['stk_b', 'stk_c']);
    expect(node.local.stack_id, 'who a node is does not change while it runs').toBe('stk_a');
    expect(peers.current().trust.get('stk_c')?.tenants).toEqual(new Set(['tnt_a']));
    write({ peers: [{ stack_id: 'stk_d' }] });
    await expect.poll(() => lines.join(''), { timeout: 10_000 }).toMatch(/\/peers\/0\/endpoints .+ The peers from before stay/);
    expect(known()).toEqual(['stk_b', 'stk_c']);
    write({ peers: [] });
    await expect.poll(known, { timeout: 10_000 }).toEqual([]);
  });

  it('may be absent, and must be right at the start', () => {
    expect(openPeers(undefined, log).current()).toMatchObject({ local: null, peers: [] });
    write('{"peers": [');
    expect(() => openPeers(path, log)).toThrow(ConfigError);
    expect(() => openPeers(join(folder, 'nowhere.json'), log)).toThrow(/nowhere\.json cannot be read/);
  });
});
