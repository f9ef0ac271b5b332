/** docs/guides/agents-and-tools.md, every command as it is written, in one shell; only ports and paths are this test's own. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '../../scripts/lib/ports.ts';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, type CliNode } from './node-under-test.ts';

const GUIDE = path.join(repositoryRoot, 'docs/guides/agents-and-tools.md');
let node: CliNode;

beforeAll(async () => {
  await ensureBuilt();
  node = await createCliNode();
}, 180_000);
afterAll(async () => node.remove(), 180_000);

const blocksOf = (guide: string): readonly string[] => [...guide.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);

/** One shell for all blocks, because later ones use what earlier ones exported and started. */
async function inOneShell(script: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', `trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n${script}`], { cwd: repositoryRoot, env: { ...node.env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let output = '';
  for (const stream of [shell.stdout, shell.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const code = await new Promise<number | null>((resolve) => shell.on('exit', resolve));
  // What a block left behind (`npx` starts a child of its own) goes with the shell's group.
  try {
    process.kill(-shell.pid!, 'SIGKILL');
  } catch {
    // Everything has ended by itself.
  }
  return { code, output };
}

describe('the guide', () => {
  it('leads to an agent with a webhook tool and one with an MCP server', verifies(['PRS-4.1-05'], async () => {
    const [webhookPort, mcpPort] = await Promise.all([findFreePort(), findFreePort()]);
    const blocks = blocksOf(readFileSync(GUIDE, 'utf8'));
    expect(blocks.length).toBeGreaterThanOrEqual(4);
    const script = blocks.join('\n')
      .replaceAll('npx agentos', `${process.execPath} ${path.join(repositoryRoot, 'dist/scripts/agentos.js')}`)
      .replaceAll('http://127.0.0.1:50081', node.baseUrl).replaceAll('9000', String(webhookPort)).replaceAll('9001', String(mcpPort));
    const { code, output } = await inOneShell(script);
    expect(code, output).toBe(0);
    expect(output).toMatch(/"tool_id":"tool\.orders\.status"/);
    expect(output).toMatch(/run_\w+ asked for order 1042/);
    expect(output).toMatch(/tool\.call\.completed\s+tool\.orders\.status · ok/);
    expect(output).toContain('"status":"shipped"');
    expect(output).toMatch(/"tool_ids":\["tool\.mcp\.clock\.time_in"\]/);
    expect(output).toMatch(/tool\.call\.completed\s+tool\.mcp\.clock\.time_in · ok/);
    expect(output.match(/run\.completed/g)!.length).toBeGreaterThanOrEqual(2);
  }), 180_000);
});
