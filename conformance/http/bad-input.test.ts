/** The catalogue of bad input (vectors/bad-input.ts) against a running node: refused as declared, nothing kept, nothing told. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { exchange, send, type WireAnswer } from '../harness/raw-http.ts';
import { validators } from '../../generated/validators/schemas.js';
import { badInputs, bodyTargets, malformedRequests, type BadInput } from '../vectors/bad-input.ts';
import { operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

/** What an answer must never show: frames of a stack, SQL, paths of files, names of tables, of our modules or drivers. */
const LEAKS = /\n\s+at |node_modules|\/services\/|file:\/\/|\bSELECT\b|\bINSERT\b|syntax error at|orchestrator\.runs|pg_catalog|ECONN|SequelizeE|SyntaxError|TypeError|ajv/;

async function storedRuns(): Promise<number> {
  const rows = await node.database.asSuperuser((client) => client.query<{ count: string }>('SELECT count(*) AS count FROM orchestrator.runs'));
  return Number(rows.rows[0]!.count);
}

function expectErrorModel(answer: WireAnswer): Json {
  expect(answer.headers['content-type'], answer.body).toMatch(/^application\/json/);
  const body = JSON.parse(answer.body) as Json;
  const validator = validators.ErrorResponse as ((value: unknown) => boolean) & { errors?: unknown };
  expect(validator(structuredClone(body)) || JSON.stringify(validator.errors)).toBe(true);
  expect(body.correlation_id).toEqual(expect.any(String));
  expect(body.error.message.length).toBeGreaterThan(10);
  expect(answer.body).not.toMatch(LEAKS);
  return body;
}

async function check(input: BadInput): Promise<void> {
  const answer = await send(node.urls[input.service], input.request);
  const body = expectErrorModel(answer);
  expect([answer.status, body.error.code], answer.body.slice(0, 300)).toEqual([input.status, input.code]);
  expect(body.error.retryable).toBe(false);
  if (input.operation !== '-') expect(operation(input.service, input.operation).statuses.concat(431), 'an undeclared status').toContain(answer.status);
  if (input.header !== undefined) expect(answer.headers[input.header[0]]).toMatch(input.header[1]);
  if (input.closes === true) expect(answer.closed).toBe(true);
  expect(answer.headers['x-injected']).toBeUndefined();
}

function byOperation(): Map<string, BadInput[]> {
  const groups = new Map<string, BadInput[]>();
  for (const input of badInputs) {
    const key = `${input.service} ${input.operation}`;
    groups.set(key, [...(groups.get(key) ?? []), input]);
  }
  return groups;
}

describe.each([...byOperation()])('%s', (_operation, inputs) => {
  let before = 0;
  beforeAll(async () => {
    before = await storedRuns();
  });
  it.each(inputs.map((input) => [input.name, input] as const))('%s', verifies(['PRS-4.3-09'], async (_name: string, input: BadInput) => check(input)));
  it('left nothing behind', async () => {
    expect(await storedRuns()).toBe(before);
    expect(({} as Json).polluted).toBeUndefined();
  });
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
  it('every service is as healthy as before', async () => {
    for (const base of Object.values(node.urls)) expect((await call(base, '/readyz', { tenant: null })).status).toBe(200);
  });

  it('what is valid is still taken', async () => {
    for (const target of bodyTargets) {
      const answer = await call(node.urls[target.service], target.path, { body: target.valid });
      expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
    }
  });

  it('nothing of it was logged as our own fault', () => {
    expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line))).toEqual([]);
  });
});
