/**
 * Every operation of the contract, as it stands on the wire, asked what nobody thought of: requests that fit the
 * contract, drawn from its own schemas, and requests that are one fault away from fitting. Whatever is asked, the answer
 * is one that the operation declares, in the shape it declares, never our fault, and tells nothing of our insides.
 *
 * The seed is printed; AGENTOS_FUZZ_SEED repeats a run. `npm run fuzz` asks 300 + 300 times an operation, the short form
 * 25 + 25 times. AGENTOS_FUZZ_ONLY names what is asked: services, operations, `service/operation`, with commas.
 *
 * How often which answer came is printed for each operation, and one of which no valid request was served fails: whatever
 * its refusals look like, its handler was never tested.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listOperations, type OpenApiDocument, type OperationView } from '../../../scripts/contract/openapi.ts';
import type { OperationRow } from '../../../services/platform/http/operation-types.ts';
import type { ServiceName } from '../../harness/prism.ts';
import { send } from '../../harness/raw-http.ts';
import { operation as rowOf, serviceNames } from '../../http/operations.ts';
import { verifies } from '../../http/verifies.ts';
import { faultsFor } from './fault.ts';
import { startFuzzNode, type FuzzNode } from './fuzz-node.ts';
import { parametersJudge, type ParametersJudge } from './parameters.ts';
import { exampleRequests, toWire, validRequests, type Aim, type FuzzRequest } from './request-arbitrary.ts';
import { setScene } from './stage.ts';
import { Tally, isSuccess } from './tally.ts';
import { faultsOfAnswer } from './verdict.ts';

const isLong = process.env['AGENTOS_FUZZ_FORM'] === 'long';
const RUNS = isLong ? 300 : 25;
const SEED = Number(process.env['AGENTOS_FUZZ_SEED'] ?? Math.floor(Math.random() * 1_000_000_000));
/** Streams too: every run that is read here ends, but for those that wait to be canceled. */
const ANSWER_MS = 20_000;
/** A file that takes every request with its answer, a line each, for reading what was refused and why. */
const RECORD = process.env['AGENTOS_FUZZ_RECORD'];

/** Operations of which no valid request can be served by the node of this test, and why. */
const NEVER_SERVED: Readonly<Record<string, string>> = {};

interface Subject {
  readonly service: ServiceName;
  readonly view: OperationView;
  readonly row: OperationRow;
  readonly fitsParameters: ParametersJudge;
}

const documents = Object.fromEntries(serviceNames.map((service) => [service, JSON.parse(readFileSync(new URL(`../../../generated/openapi/${service}.json`, import.meta.url), 'utf8')) as OpenApiDocument])) as Record<ServiceName, OpenApiDocument>;
const subjects = serviceNames.flatMap((service) => listOperations(documents[service]).map((view): Subject => ({ service, view, row: rowOf(service, view.operationId), fitsParameters: parametersJudge(documents[service], view) })));
const selected = selectedFrom(process.env['AGENTOS_FUZZ_ONLY']);
const tally = new Tally();
const nameOf = ({ service, row }: Subject): string => `${service} ${row.operationId}`;

let fuzzed: FuzzNode;
beforeAll(async () => {
  process.stderr.write(`contract/fuzz: seed ${SEED}, ${RUNS} + ${RUNS} requests an operation (AGENTOS_FUZZ_SEED=${SEED} repeats it)\n`);
  fuzzed = await startFuzzNode();
});
afterAll(async () => {
  process.stderr.write(`${[...tally.lines()].map((line) => `contract/fuzz: ${line}`).join('\n')}\n`);
  await fuzzed?.close();
});

describe('every operation', () => {
  describe.each(serviceNames.filter((service) => selected.some((subject) => subject.service === service)))('of %s', (service) => {
    it.each(selected.filter((subject) => subject.service === service).map((subject) => [subject.row.operationId, subject] as const))('%s', verifies(['PRS-4.3-09'], async (_name: string, subject: Subject) => {
      const aim = await aimAt(subject);
      const seed = SEED + subjects.indexOf(subject);
      const examples = exampleRequests(aim);
      const check = (isValid: boolean) => (request: FuzzRequest): Promise<void> => judge(subject, request, isValid);
      const valid = validRequests(aim);
      await fc.assert(fc.asyncProperty(valid, check(true)), { seed, numRuns: RUNS + examples.length, examples: examples.map((request) => [request] as [FuzzRequest]) });
      const faulty = valid.chain((request) => faultsFor(request).map((fault) => fault(request)));
      await fc.assert(fc.asyncProperty(faulty, check(false)), { seed, numRuns: RUNS });
      expect(subject.row.planned || subject.row.operationId in NEVER_SERVED || served(subject) > 0, 'no valid request was served, so nothing but refusals was looked at').toBe(true);
    }), isLong ? 300_000 : 60_000);
  });

  it('needs no exception that is not needed', () => {
    const stale = Object.keys(NEVER_SERVED).filter((name) => !subjects.some(({ row }) => row.operationId === name) || selected.some((subject) => subject.row.operationId === name && served(subject) > 0));
    expect(stale).toEqual([]);
  });
});

async function aimAt({ service, view, row, fitsParameters }: Subject): Promise<Aim> {
  const scene = await setScene(fuzzed.node, service, view, RUNS);
  return { document: documents[service], operation: view, known: scene.known, demanded: scene.demanded, headers: scene.headers, fitsParameters, isBody: (body) => row.validateBody === null || row.validateBody(body) };
}

/** @param names services, operations, or both as `service/operation`, with commas; all when there are none. */
function selectedFrom(names: string | undefined): readonly Subject[] {
  const wanted = (names ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '');
  const chosen = subjects.filter(({ service, row }) => wanted.length === 0 || [service, row.operationId, `${service}/${row.operationId}`].some((name) => wanted.includes(name)));
  if (chosen.length === 0) throw new Error(`AGENTOS_FUZZ_ONLY names nothing that the contract has: ${wanted.join(', ')}`);
  return chosen;
}

function served(subject: Subject): number {
  return tally.validAnsweredBy(nameOf(subject), isSuccess);
}

async function judge(subject: Subject, request: FuzzRequest, isValid: boolean): Promise<void> {
  const { service, row } = subject;
  const wire = toWire(request);
  const { node } = fuzzed;
  const base = row.path.startsWith('/v1/admin/') ? node.adminUrls[service] : node.urls[service];
  const startedAt = performance.now();
  const answer = await send(base, wire, ANSWER_MS);
  const tookMs = performance.now() - startedAt;
  tally.add(nameOf(subject), { valid: isValid, status: answer.status, tookMs });
  if (RECORD !== undefined) appendFileSync(RECORD, `${JSON.stringify({ operation: nameOf(subject), isValid, at: new Date().toISOString(), tookMs, wire: { ...wire, body: String(wire.body ?? '').slice(0, 4_000) }, status: answer.status, answer: answer.body.slice(0, 8_000) })}\n`);
  const faults = faultsOfAnswer(row, answer, isValid ? 'valid' : isMisfit(subject, request) ? 'misfit' : 'unknown');
  if (faults.length === 0) return;
  throw new Error(`${row.operationId} ${faults.join('; ')}\n${wire.method} ${wire.path.slice(0, 500)}\n${JSON.stringify(wire.headers)}\n${String(wire.body ?? '').slice(0, 1_000)}\n→ ${answer.status} ${answer.body.slice(0, 600)}\n${node.logLines.slice(-1).join('').slice(0, 1_500)}`);
}

/** What the contract refuses may never be taken; what is wrong with headers is left to the catalogue of bad input. */
function isMisfit({ row, fitsParameters }: Subject, request: FuzzRequest): boolean {
  if (!fitsParameters(request)) return true;
  if (row.validateBody === null || request.headers.some(([name]) => name.toLowerCase() === 'content-encoding')) return false;
  if (request.bytes === undefined) return request.body !== undefined && !row.validateBody(JSON.parse(JSON.stringify(request.body)));
  if (request.bytes.length === 0) return row.body?.required === true;
  const value = valueOf(request.bytes);
  return value === undefined || !row.validateBody(value);
}

/** undefined where the bytes are no JSON; a mark of their order before them is nothing that a reader has to refuse. */
function valueOf(bytes: string | Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf8', { fatal: true }).decode(Buffer.from(bytes))) as unknown;
  } catch {
    return undefined;
  }
}
