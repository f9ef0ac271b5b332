/** `agentos audit` on a node brought up by the command line: list, export, verify, and what is found once somebody has been at the database. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresStatus } from '../../scripts/lib/postgres/index.ts';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, jsonLines, type CliNode } from './node-under-test.ts';

interface Verified {
  readonly intact: boolean;
  readonly chains: readonly { readonly tenant_id: string; readonly service: string; readonly records: number; readonly checkpoint: number | null }[];
  readonly faults: readonly { readonly tenant_id: string; readonly kind: string; readonly sequence: number | null }[];
}

let node: CliNode;
beforeAll(async () => {
  await ensureBuilt();
  node = await createCliNode();
  const up = await node.agentos('up');
  expect(up.code, up.stderr).toBe(0);
  for (let index = 0; index < 3; index += 1) {
    const answer = await fetch(`${node.baseUrl}/v1/agents/agt_demo/runs`, { method: 'POST', headers: { 'x-tenant-id': 'tnt_demo', 'x-principal-id': 'usr_ada', 'content-type': 'application/json' }, body: '{"input":"hello"}' });
    expect(answer.status).toBe(201);
  }
}, 180_000);
afterAll(async () => node?.remove(), 180_000);

async function asOwner(statement: string): Promise<void> {
  const client = new pg.Client(postgresStatus(node.home)!.url);
  await client.connect();
  await client.query("SET session_replication_role = 'replica'");
  await client.query(statement);
  await client.end();
}

const verify = async (...flags: string[]): Promise<Verified & { readonly code: number | null }> => {
  const result = await node.agentos('audit', 'verify', '--json', ...flags);
  expect(result.stdout, result.stderr).not.toBe('');
  return { ...(JSON.parse(result.stdout) as Verified), code: result.code };
};

describe('agentos audit', () => {
  it('lists, exports and verifies, in the database and away from it', verifies(['PRS-10.3-01', 'PRS-10.3-05'], async () => {
    const listed = JSON.parse((await node.agentos('audit', 'list', '--json', '--action', 'run.create', '--principal', 'usr_ada')).stdout) as { records: { action: string }[] };
    expect(listed.records.map(({ action }) => action)).toEqual(['run.create', 'run.create', 'run.create']);
    const intact = await verify();
    expect(intact).toMatchObject({ code: 0, intact: true, faults: [] });
    expect(intact.chains.find(({ tenant_id, service }) => tenant_id === 'tnt_demo' && service === 'agent-orchestrator')!.records).toBeGreaterThanOrEqual(3);
    const file = path.join(node.reports, '..', 'trail.jsonl');
    expect((await node.agentos('audit', 'export', '--to', file)).code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await verify('--from-export', file)).toMatchObject({ code: 0, intact: true });
    expect(jsonLines<{ action: string }>(readFileSync(file, 'utf8')).filter(({ action }) => action === 'run.create').length).toBeGreaterThanOrEqual(3);
  }), 180_000);

  it('says where somebody was at the database, and goes on saying so', verifies(['PRS-4.3-14'], async () => {
    // Stopped, so that all that was written is signed.
    expect((await node.agentos('restart', 'agent-orchestrator')).code).toBe(0);
    const signed = (await verify()).chains.find(({ tenant_id, service }) => tenant_id === 'tnt_demo' && service === 'agent-orchestrator')!;
    expect(signed.checkpoint).toBe(signed.records);
    await asOwner(`DELETE FROM audit.records WHERE tenant_id = 'tnt_demo' AND service = 'agent-orchestrator' AND sequence = ${signed.records}`);
    await asOwner(`UPDATE audit.heads h SET (sequence, hash) = (SELECT sequence, hash FROM audit.records r WHERE r.tenant_id = h.tenant_id AND r.service = h.service AND r.sequence = ${signed.records - 1}) WHERE tenant_id = 'tnt_demo' AND service = 'agent-orchestrator'`);
    expect(await verify('--tenant', 'tnt_demo')).toMatchObject({ code: 1, intact: false, faults: [{ tenant_id: 'tnt_demo', kind: 'truncated', sequence: signed.records }] });
    const text = await node.agentos('audit', 'verify');
    expect([text.code, text.stdout]).toEqual([1, expect.stringMatching(/BROKEN[\s\S]*truncated {2}tnt_demo agent-orchestrator: Records? \d+/)]);
  }), 180_000);

  it('makes a new key for checkpoints, and what the one before signed still counts', verifies(['PRS-10.3-05'], async () => {
    const before = await verify('--tenant', '_platform');
    const rotated = JSON.parse((await node.agentos('audit', 'rotate-key', '--json')).stdout) as { key: { key_id: string; file: string } };
    expect(rotated.key).toEqual({ key_id: expect.stringMatching(/^[0-9a-f]{16}$/) as string, file: path.join(node.home, 'secrets', 'audit-key.pem') });
    expect(statSync(rotated.key.file).mode & 0o777).toBe(0o600);
    expect((await verify('--tenant', '_platform')).code).toBe(before.code);
    expect((await node.agentos('restart', 'agent-orchestrator')).code).toBe(0);
    expect((await fetch(`${node.baseUrl}/v1/agents/agt_demo/runs`, { method: 'POST', headers: { 'x-tenant-id': 'tnt_demo', 'content-type': 'application/json' }, body: '{"input":"hello"}' })).status).toBe(201);
    expect((await node.agentos('restart', 'agent-orchestrator')).code).toBe(0);
    const lines = jsonLines<{ kid: string; service: string }>(readFileSync(path.join(node.home, 'audit', 'checkpoints.jsonl'), 'utf8'));
    const kids = lines.filter(({ service }) => service === 'agent-orchestrator').map(({ kid }) => kid);
    expect([new Set(kids).size, kids.at(-1)]).toEqual([2, rotated.key.key_id]);
    expect((await verify()).faults.filter(({ kind }) => kind === 'unsigned')).toEqual([]);
    expect((await verify('--key', path.join(node.home, 'audit', 'audit-key.pub.pem'))).faults.filter(({ kind }) => kind === 'unsigned')).toEqual([]);
  }), 180_000);

  it('explains what it does not know', async () => {
    const wrong = await node.agentos('audit', 'prove');
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('verify, list, export')]);
  });
});
