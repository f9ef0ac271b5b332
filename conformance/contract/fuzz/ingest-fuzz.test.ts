/**
 * events:ingest where it can take something in: two nodes, a run that the other one executed, and its own events handed over
 * whole, in parts, repeated, and with one thing changed. One node has no run whose events it may take, so the fuzz of all
 * operations sees items refused and no more. Whatever is handed over, what is kept is what the run's node says.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listOperations, type OpenApiDocument } from '../../../scripts/contract/openapi.ts';
import type { Json } from '../../harness/client.ts';
import { send } from '../../harness/raw-http.ts';
import { startTwoNodes, type TwoNodes } from '../../harness/two-nodes.ts';
import { eventsThrough, forward } from '../../federation/callers.ts';
import { operation } from '../../http/operations.ts';
import { verifies } from '../../http/verifies.ts';
import { faultsFor } from './fault.ts';
import { toWire, type FuzzRequest } from './request-arbitrary.ts';
import { faultsOfAnswer } from './verdict.ts';

const RUNS = process.env['AGENTOS_FUZZ_FORM'] === 'long' ? 300 : 25;
const SEED = Number(process.env['AGENTOS_FUZZ_SEED'] ?? Math.floor(Math.random() * 1_000_000_000));
const row = operation('federation', 'ingestFederatedEvents');
const path = listOperations(JSON.parse(readFileSync(new URL('../../../generated/openapi/federation.json', import.meta.url), 'utf8')) as OpenApiDocument).find(({ operationId }) => operationId === row.operationId)!.path;

let nodes: TwoNodes;
beforeAll(async () => {
  process.stderr.write(`contract/ingest-fuzz: seed ${SEED} (AGENTOS_FUZZ_SEED=${SEED} repeats it)\n`);
  nodes = await startTwoNodes();
});
afterAll(() => nodes?.close());

/** The results of the items; none where the batch was refused. @throws Error for an answer that is not as it must be. */
async function ask(request: FuzzRequest, fit: 'valid' | 'unknown'): Promise<readonly Json[]> {
  const wire = toWire(request);
  const answer = await send(nodes.a.urls.federation, wire);
  const faults = faultsOfAnswer(row, answer, fit);
  if (faults.length > 0) throw new Error(`${faults.join('; ')}\n${JSON.stringify(wire).slice(0, 2_000)}\n→ ${answer.status} ${answer.body.slice(0, 600)}`);
  return answer.status === 200 ? ((JSON.parse(answer.body) as Json).results as Json[]) : [];
}

describe('events of a run of another node', () => {
  it('are taken in as that node has them, and in no other way', verifies(['PRS-4.3-09', 'PRS-7.3-05', 'PRS-7.4-04'], async () => {
    const tenant = await nodes.tenant();
    const forwarded = await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' } });
    const runId = forwarded.body.forwarded?.remote_run_id as string;
    expect(forwarded.status, JSON.stringify(forwarded.body)).toBe(200);
    const said = (await eventsThrough(nodes.a, runId, { tenant })).frames.map(({ data }) => data.event as Json);
    expect(said.length).toBeGreaterThan(2);

    const headers = [['X-Tenant-Id', tenant], ['X-Scopes', 'runs:read runs:forward'], ['Content-Type', 'application/json']] as const;
    const batch = (events: readonly Json[]): FuzzRequest => ({ method: 'POST', template: path, path: [], query: [], queryNames: [], headers, body: { ingest: { source_stack_id: 'stk_node_b' }, events } });
    // Bare, or wrapped as older peers send them; the same one twice is a repeat.
    const event = fc.tuple(fc.constantFrom(...said), fc.boolean()).map(([each, isWrapped]): Json => (isWrapped ? { event: each } : each));
    const batches = fc.array(event, { minLength: 1, maxLength: 6 }).map(batch);

    // First what is one change away, so that a change that is believed finds its place free.
    const changed = batches.chain((request) => faultsFor(request).map((fault) => fault(request)));
    await fc.assert(fc.asyncProperty(changed, async (request) => void (await ask(request, 'unknown'))), { seed: SEED, numRuns: RUNS });
    await fc.assert(fc.asyncProperty(batches, async (request) => {
      const results = await ask(request, 'valid');
      expect(results.map(({ status }) => status as string).filter((status) => !['accepted', 'duplicate'].includes(status)), JSON.stringify(results)).toEqual([]);
      expect(results).toHaveLength((request.body as { readonly events: readonly Json[] }).events.length);
    }), { seed: SEED, numRuns: RUNS, examples: [[batch(said)]] });

    await nodes.b.stop();
    const kept = (await eventsThrough(nodes.a, runId, { tenant })).frames.map(({ data }) => data.event as Json);
    expect(kept, 'what is kept is what the node of the run said').toEqual(said);
  }), RUNS > 25 ? 300_000 : 60_000);
});
