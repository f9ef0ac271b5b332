/**
 * The catalogue of bad input (vectors/bad-input.ts, and what follows from the contract alone) against a running node, in
 * each of the three modes: refused as declared, nothing kept, nothing told.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { exchange, send, type WireAnswer } from '../harness/raw-http.ts';
import { validators } from '../../generated/validators/schemas.js';
import { PLATFORM_SCOPES, TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import { badInputs, bodyTargets, malformedRequests, type BadInput } from '../vectors/bad-input.ts';
import { badInputsByContract } from '../vectors/bad-input-by-contract.ts';
import { storeKeys } from '../harness/keys.ts';
import { faultsOf, operation, operationFor, operationsOf, serviceNames } from './operations.ts';
import { verifies } from './verifies.ts';

/** What an answer must never show: frames of a stack, SQL, paths of files, names of tables, of our modules or drivers. */
const LEAKS = /\n\s+at |node_modules|\/services\/|file:\/\/|\bSELECT\b|\bINSERT\b|syntax error at|orchestrator\.runs|pg_catalog|ECONN|SequelizeE|SyntaxError|TypeError|ajv/;

const catalogue: readonly BadInput[] = [...badInputs, ...serviceNames.flatMap((service) => badInputsByContract(service, operationsOf[service]))];

function expectErrorModel(answer: WireAnswer, input?: BadInput): Json {
  expect(answer.headers['content-type'], answer.body).toMatch(/^application\/json/);
  expect(answer.body).not.toMatch(LEAKS);
  const body = JSON.parse(answer.body) as Json;
  expect(body.correlation_id).toEqual(expect.any(String));
  expect(body.error.message.length).toBeGreaterThan(10);
  expect(body.error.details).toBeTypeOf('object');
  if (input === undefined || input.operation === '-' || answer.status === 431) {
    expect((validators.ErrorResponse as (value: unknown) => boolean)(structuredClone(body)), answer.body).toBe(true);
  } else expect(faultsOf(operation(input.service, input.operation), answer.status, body)).toEqual([]);
  return body;
}

describe.each(['demo', 'dev', 'prod'] as const)('in %s', (mode) => {
  let node: TestNode;
  let keys: { readonly tenant: string; readonly platform: string };
  let before = 0;
  beforeAll(async () => {
    node = await startNode({ mode });
    const [tenant, platform] = await storeKeys(node.database.url, [{ scopes: TENANT_SCOPES }, { scopes: [...TENANT_SCOPES, ...PLATFORM_SCOPES] }]);
    keys = { tenant: tenant!, platform: platform! };
    before = await storedRuns();
  });
  afterAll(() => node?.close());

  async function storedRuns(): Promise<number> {
    const rows = await node.database.asSuperuser((client) => client.query<{ count: string }>('SELECT count(*) AS count FROM orchestrator.runs'));
    return Number(rows.rows[0]!.count);
  }

  const credential = (as: BadInput['as'] = 'tenant'): ReadonlyArray<readonly [string, string]> => (mode === 'demo' || as === 'nobody' ? [] : [['X-API-Key', keys[as]]]);

  function ask({ service, request, as }: BadInput): Promise<WireAnswer> {
    const base = request.path.startsWith('/v1/admin/') ? node.adminUrls[service] : node.urls[service];
    return send(base, { ...request, headers: [...request.headers, ...credential(as)] });
  }

  async function check(input: BadInput): Promise<void> {
    const answer = await ask(input);
    const body = expectErrorModel(answer, input);
    const expected = mode === 'demo' ? input : (input.withCredentials ?? input);
    expect([answer.status, body.error.code], answer.body.slice(0, 300)).toEqual([expected.status, expected.code]);
    expect(body.error.retryable).toBe(false);
    if (input.header !== undefined) expect(answer.headers[input.header[0]]).toMatch(input.header[1]);
    if (input.closes === true) expect(answer.closed).toBe(true);
    expect(answer.headers['x-injected']).toBeUndefined();
  }

  const groups = new Map<string, BadInput[]>();
  for (const input of catalogue.filter(({ modes }) => modes?.includes(mode) ?? true)) {
    const key = `${input.service} ${input.operation}`;
    groups.set(key, [...(groups.get(key) ?? []), input]);
  }

  describe.each([...groups])('%s', (_operation, inputs) => {
    it.each(inputs.map((input) => [input.name, input] as const))('%s', verifies(['PRS-4.3-09'], async (_name: string, input: BadInput) => check(input)));
  });

  describe('broken HTTP', () => {
    it.each(malformedRequests)('$name', async ({ bytes, status }) => {
      const base = node.urls['agent-orchestrator'];
      const answer = await exchange(base, Buffer.from(bytes.replaceAll('HOST', new URL(base).host), 'latin1'), 5_000);
      expect(answer.status, answer.body).toBe(status);
      expectErrorModel(answer);
      expect(answer.closed).toBe(true);
    });

    it('of one caller does not disturb another on a kept connection', async () => {
      const base = node.urls['agent-orchestrator'];
      const answers = await Promise.all([
        exchange(base, Buffer.from('GARBAGE\r\n\r\n'), 5_000),
        ...Array.from({ length: 10 }, () => call(base, '/v1/health')),
      ]);
      expect(answers.slice(1).map((answer) => answer.status)).toEqual(Array(10).fill(200));
    });
  });

  describe('afterwards', () => {
    it('nothing was left behind', async () => {
      expect(await storedRuns()).toBe(before);
      expect(({} as Json).polluted).toBeUndefined();
    });

    it('every service is as healthy as before', async () => {
      for (const base of Object.values(node.urls)) expect((await call(base, '/readyz', { tenant: null })).status).toBe(200);
    });

    it('what is valid is still taken', async () => {
      for (const target of bodyTargets) {
        const key = operationFor(target.service, 'POST', target.path)?.idempotency === 'key' && target.operation.startsWith('createRun') ? { idempotency_key: `idem_${mode}_${target.operation}` } : {};
        const answer = await call(node.urls[target.service], target.path, { body: { ...target.valid, ...key }, headers: Object.fromEntries(credential()) });
        expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
      }
    });

    it('nothing of it was logged as our own fault', () => {
      expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line) && line.includes('"operation":'))).toEqual([]);
    });
  });
});
