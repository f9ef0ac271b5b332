import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CliError } from './errors.ts';
import { settingsOfNode } from './one-node.ts';
import { secondHome } from './nodes.ts';
import { createOutput } from './output.ts';
import { ensureStateFolder } from './state-folder.ts';

let home: string;
beforeEach(() => {
  home = path.join(mkdtempSync(path.join(tmpdir(), 'agentos-one-node-')), '.agentos');
  vi.stubEnv('AGENTOS_HOME', home);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(path.dirname(home), { recursive: true, force: true });
});

const notes: string[] = [];
const output = { ...createOutput({ json: false, color: false }), note: (text: string): void => void notes.push(text) };
const named = (node: string | undefined, mode = 'demo') => settingsOfNode({ global: { mode, yesReally: false, timeoutMs: null }, output }, { node });

describe('the node that a command is for', () => {
  it('is the first one unless the second one is named, in either way', () => {
    expect(() => named('b')).toThrowError(CliError);
    ensureStateFolder(home);
    ensureStateFolder(secondHome(home));
    expect([undefined, 'node-a', 'a', 'node-b', 'b'].map((node) => named(node).node)).toEqual(['node-a', 'node-a', 'node-a', 'node-b', 'node-b']);
    expect(named('b')).toMatchObject({ home: secondHome(home), ports: { 'agent-orchestrator': 50181 } });
    for (const stranger of ['c', 'node-c', 'node-', '']) expect(() => named(stranger), stranger).toThrowError(/there is no .* here/);
  });

  it('is not spoken to with the key of the other one, which is said', () => {
    ensureStateFolder(home);
    ensureStateFolder(secondHome(home));
    vi.stubEnv('AGENTOS_API_KEY', 'aos_live_of_node_a');
    expect(named('a', 'dev').apiKey).toBe('aos_live_of_node_a');
    expect(notes.splice(0)).toEqual([]);
    expect(named('b', 'dev').apiKey).toBeNull();
    expect(notes.splice(0).join()).toMatch(/AGENTOS_API_KEY is for node-a/);
    mkdirSync(secondHome(home), { recursive: true });
    writeFileSync(path.join(secondHome(home), '.agentos.env'), 'AGENTOS_API_KEY=aos_live_of_node_b\n');
    expect(named('b', 'dev').apiKey).toBe('aos_live_of_node_b');
    expect(notes).toEqual([]);
  });
});
