import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findFreePort } from './ports.ts';
import { checkNode, checkPorts, preflight } from './preflight.ts';
import { repositoryRoot } from './repository.ts';
import { loadSettings } from './settings.ts';

let home: string;
beforeEach(() => { home = mkdtempSync(path.join(tmpdir(), 'agentos-preflight-')); });
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe('preflight', () => {
  it('takes the Node.js that package.json asks for, and none before it', () => {
    const { engines } = JSON.parse(readFileSync(path.join(repositoryRoot, 'package.json'), 'utf8')) as { engines: { node: string } };
    const oldest = engines.node.replace('>=', '');
    for (const fits of [oldest, '20.20.2', '22.0.0', '24.1.0']) expect(() => checkNode(fits), fits).not.toThrow();
    for (const old of ['18.20.0', '20.9.0', '20.18.0']) expect(() => checkNode(old), old).toThrow(/too old/);
  });

  it('names every taken port with its holder, all at once', async () => {
    const holders = await Promise.all([0, 0].map(async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }));
    const [first, second] = holders.map((server) => (server.address() as { port: number }).port);
    try {
      const settings = loadSettings({}, { AGENTOS_HOME: home, AGENTOS_AGENT_ORCHESTRATOR_PORT: String(first), AGENTOS_FEDERATION_PORT: String(second), AGENTOS_MODEL_POLICY_PORT: String(await findFreePort()) });
      await expect(checkPorts(settings)).rejects.toMatchObject({
        exitCode: 3,
        message: '2 ports are taken; nothing was started',
        evidence: [expect.stringMatching(new RegExp(`port ${first} \\(agent-orchestrator\\).*pid ${process.pid} \\(`)), expect.stringContaining(`port ${second} (federation)`)],
        next: expect.stringContaining('AGENTOS_AGENT_ORCHESTRATOR_PORT=<free port>'),
      });
    } finally {
      for (const server of holders) server.close();
    }
  });

  it('refuses one port for two services', async () => {
    const port = String(await findFreePort());
    const settings = loadSettings({}, { AGENTOS_HOME: home, AGENTOS_AGENT_ORCHESTRATOR_PORT: port, AGENTOS_FEDERATION_PORT: port });
    await expect(checkPorts(settings)).rejects.toMatchObject({ exitCode: 3, evidence: [`AGENTOS_AGENT_ORCHESTRATOR_PORT=${port}`, `AGENTOS_FEDERATION_PORT=${port}`] });
  });

  it('refuses what the mode refuses, and warns of names it does not know', async () => {
    const free = async (): Promise<string> => String(await findFreePort());
    const ports = { AGENTOS_AGENT_ORCHESTRATOR_PORT: await free(), AGENTOS_MODEL_POLICY_PORT: await free(), AGENTOS_FEDERATION_PORT: await free() };
    const open = loadSettings({}, { AGENTOS_HOME: home, AGENTOS_HOST: '0.0.0.0', ...ports });
    process.env['AGENTOS_HOST'] = '0.0.0.0';
    try {
      await expect(preflight(open)).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining('AGENTOS_HOST') });
    } finally {
      delete process.env['AGENTOS_HOST'];
    }
    const { warnings } = await preflight(loadSettings({}, { AGENTOS_HOME: home, AGENTOS_MODEL_POLICY_PROT: '1', ...ports }));
    expect(warnings).toContainEqual(expect.stringMatching(/AGENTOS_MODEL_POLICY_PROT.*Did you mean AGENTOS_MODEL_POLICY_PORT/));
  });
});
