/**
 * Every operation of the contract, as it stands on the wire, asked what nobody thought of: requests that fit the
 * contract, drawn from its own schemas, and requests that are one fault away from fitting. Whatever is asked, the answer
 * is one that the operation declares, in the shape it declares, never our fault, and tells nothing of our insides.
 *
 * The seed is printed; AGENTOS_FUZZ_SEED repeats a run. `npm run fuzz` asks 300 + 300 times an operation, the short form
 * 25 + 25 times.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listOperations, type OpenApiDocument, type OperationView } from '../../../scripts/contract/openapi.ts';
import type { OperationRow } from '../../../services/platform/http/operation-types.ts';
import { startNode, type TestNode } from '../../harness/node.ts';
import type { ServiceName } from '../../harness/prism.ts';
import { send } from '../../harness/raw-http.ts';
import { operation as rowOf, serviceNames } from '../../http/operations.ts';
import { verifies } from '../../http/verifies.ts';
import { faultsFor } from './fault.ts';
import { exampleRequests, toWire, validRequests, type Aim, type FuzzRequest } from './request-arbitrary.ts';
import { FUZZ_PEER, setScene } from './stage.ts';
import { faultsOfAnswer } from './verdict.ts';

const isLong = process.env['AGENTOS_FUZZ_FORM'] === 'long';
const RUNS = isLong ? 300 : 25;
const SEED = Number(process.env['AGENTOS_FUZZ_SEED'] ?? Math.floor(Math.random() * 1_000_000_000));

/** Where a valid request cannot be sure of a success, the answer that proves as much, and why. */
const PROOF_BESIDES: Readonly<Record<string, { readonly statuses: readonly number[]; readonly because: string }>> = {
  cancelRun: { statuses: [409], because: 'the run may end before its cancel arrives' },
  cancelFederatedRun: { statuses: [409], because: 'the run may end before its cancel arrives' },
  rollBackCanary: { statuses: [404], because: 'the catalogue of a test node has no canary' },
};

interface Subject {
  readonly service: ServiceName;
  readonly view: OperationView;
  readonly row: OperationRow;
}

const documents = Object.fromEntries(serviceNames.map((service) => [service, JSON.parse(readFileSync(new URL(`../../../generated/openapi/${service}.json`, import.meta.url), 'utf8')) as OpenApiDocument])) as Record<ServiceName, OpenApiDocument>;
const subjects = serviceNames.flatMap((service) => listOperations(documents[service]).map((view): Subject => ({ service, view, row: rowOf(service, view.operationId) })));
const proven = new Set<string>();
const nameOf = ({ service, row }: Subject): string => `${service} ${row.operationId}`;

const folder = mkdtempSync(join(tmpdir(), 'agentos-fuzz-'));
let node: TestNode;
beforeAll(async () => {
  process.stderr.write(`contract/fuzz: seed ${SEED}, ${RUNS} + ${RUNS} requests an operation (AGENTOS_FUZZ_SEED=${SEED} repeats it)\n`);
  const peers = join(folder, 'peers.json');
  writeFileSync(peers, JSON.stringify({ peers: [{ stack_id: FUZZ_PEER, endpoints: { 'agent-orchestrator_base_url': 'https://peer.invalid', 'model-policy_base_url': 'https://peer.invalid' } }] }));
  node = await startNode({ env: { AGENTOS_PEERS_FILE: peers } });
});
afterAll(async () => {
  await node?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('every operation', () => {
  describe.each(serviceNames)('of %s', (service) => {
    it.each(subjects.filter((subject) => subject.service === service).map((subject) => [subject.row.operationId, subject] as const))('%s', verifies(['PRS-4.3-09'], async (_name: string, subject: Subject) => {
      const aim = await aimAt(subject);
      const seed = SEED + subjects.indexOf(subject);
      const examples = exampleRequests(aim);
      const check = (request: FuzzRequest): Promise<void> => judge(subject, request);
      const valid = validRequests(aim);
      await fc.assert(fc.asyncProperty(valid, check), { seed, numRuns: RUNS + examples.length, examples: examples.map((request) => [request] as [FuzzRequest]) });
      const faulty = valid.chain((request) => faultsFor(request).map((fault) => fault(request)));
      await fc.assert(fc.asyncProperty(faulty, check), { seed, numRuns: RUNS });
    }), isLong ? 300_000 : 60_000);
  });

  it('was served at least once, so that more than refusals was looked at', () => {
    expect(subjects.filter((subject) => !subject.row.planned && !proven.has(nameOf(subject))).map(nameOf)).toEqual([]);
  });

  it('needs no exception that is not needed', () => {
    const known = new Set(subjects.map(({ row }) => row.handledBy));
    expect(Object.keys(PROOF_BESIDES).filter((name) => !known.has(name))).toEqual([]);
  });
});

async function aimAt({ service, view, row }: Subject): Promise<Aim> {
  const scene = await setScene(node, service, view);
  return { document: documents[service], operation: view, known: scene.known, headers: scene.headers, isBody: (body) => row.validateBody === null || row.validateBody(body) };
}

async function judge(subject: Subject, request: FuzzRequest): Promise<void> {
  const { service, row } = subject;
  const wire = toWire(request);
  const base = row.path.startsWith('/v1/admin/') ? node.adminUrls[service] : node.urls[service];
  const answer = await send(base, wire, row.streams ? 3_000 : 10_000);
  const faults = faultsOfAnswer(row, answer, isRefused(row, request));
  if (answer.status < 300 || PROOF_BESIDES[row.handledBy]?.statuses.includes(answer.status) === true) proven.add(nameOf(subject));
  if (faults.length === 0) return;
  throw new Error(`${row.operationId} ${faults.join('; ')}\n${wire.method} ${wire.path.slice(0, 500)}\n${JSON.stringify(wire.headers)}\n${String(wire.body ?? '').slice(0, 1_000)}\n→ ${answer.status} ${answer.body.slice(0, 600)}\n${node.logLines.slice(-1).join('').slice(0, 1_500)}`);
}

/** A body that the contract's validator refuses may never be taken; what is wrong with bytes and headers is left to the catalogue of bad input. */
function isRefused(row: OperationRow, request: FuzzRequest): boolean {
  if (row.validateBody === null || request.bytes !== undefined || request.body === undefined) return false;
  return !row.validateBody(JSON.parse(JSON.stringify(request.body)));
}
