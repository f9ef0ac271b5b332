/** The node that is fuzzed: it knows a peer, has a canary to roll back, and a model that never answers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNode, type TestNode } from '../../harness/node.ts';

/** Stands in the peers file. */
export const FUZZ_PEER = 'stk_fuzz_peer';
/** Stand in the models file. A run by the waiting model goes on until it is canceled; no tier leads to it. */
export const FUZZ_CANARY = 'fuzz-canary';
export const WAITING_MODEL = 'fuzz-waiting';

const FREE = { input_usd_per_mtok: 0, output_usd_per_mtok: 0 };

export interface FuzzNode {
  readonly node: TestNode;
  close(): Promise<void>;
}

export async function startFuzzNode(): Promise<FuzzNode> {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-fuzz-'));
  const silent = await silentServer();
  const file = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  };
  const env = {
    // On: the referee reads the contract beside our own validators, and where they differ the answer is 500.
    ...(process.env['AGENTOS_CONTRACT_CHECK'] === undefined ? {} : { AGENTOS_CONTRACT_CHECK: process.env['AGENTOS_CONTRACT_CHECK'] }),
    AGENTOS_PEERS_FILE: file('peers.json', { peers: [{ stack_id: FUZZ_PEER, region: 'elsewhere', endpoints: { 'agent-orchestrator_base_url': 'https://peer.invalid', 'model-policy_base_url': 'https://peer.invalid' } }] }),
    AGENTOS_MODELS_FILE: file('models.json', modelsFile(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/v1`)),
  };
  const close = async (): Promise<void> => {
    silent.closeAllConnections();
    silent.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const node = await startNode({ env });
    return { node, close: async () => { await node.close(); await close(); } };
  } catch (error) {
    await close();
    throw error;
  }
}

function modelsFile(silentUrl: string): unknown {
  const builtin = (id: string, more: object): object => ({ id, backend: 'builtin', price: FREE, ...more });
  return {
    backends: { builtin: { kind: 'builtin' }, silent: { kind: 'openai_compatible', base_url: silentUrl, timeout_ms: 600_000 } },
    models: [
      ...['fast', 'balanced', 'premium'].map((tier) => builtin(`builtin-${tier}-1`, { tiers: [tier], context_tokens: 32_768 })),
      builtin('builtin-embed-1', { capabilities: ['embed'], tiers: ['fast', 'balanced', 'premium'] }),
      { id: WAITING_MODEL, backend: 'silent', context_tokens: 32_768, price: FREE },
    ],
    routing: { canaries: [{ name: FUZZ_CANARY, model: 'builtin-premium-1', canary: 'builtin-balanced-1', percent: 50 }] },
  };
}

/** Takes what it is sent and answers nothing. */
async function silentServer(): Promise<Server> {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
