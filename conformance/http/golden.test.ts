/** The Appendix's payloads against our own validators, and against Prism as an independent reader of the same contract. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { validators } from '../../generated/validators/schemas.js';
import { startPrism, type PrismMock, type ServiceName } from '../harness/prism.ts';
import { completed, goldenAnswers, goldenFiles, goldenPayload, goldenRequests } from './golden.ts';
import { faultsOf, operation, operationsOf, serviceNames } from './operations.ts';
import { verifies } from './verifies.ts';

type AnyValidator = ((value: unknown) => boolean) & { errors?: unknown };
const byName = validators as unknown as Readonly<Record<string, AnyValidator | undefined>>;
const AUTH = { 'content-type': 'application/json', 'x-tenant-id': 'tnt_demo', authorization: 'Bearer a-token' };

describe('golden payloads and our validators', () => {
  it('are all there', () => {
    expect(goldenFiles).toHaveLength(34);
  });

  it.each(goldenFiles)('$file satisfies $schema', verifies(['PRS-4.3-03'], ({ file, schema }: { file: string; schema: string }) => {
    const validator = byName[schema.split('#')[0]!];
    expect(validator, `there is no validator ${schema}`).toBeTypeOf('function');
    const payload = goldenPayload(file);
    expect(validator!(structuredClone(payload)) || validator!.errors).toBe(true);
  }));

  it.each(goldenRequests)('$operationId takes $file', ({ file, service, operationId }) => {
    const row = operation(service, operationId);
    expect(row.validateBody!(goldenPayload(file)) || row.validateBody!.errors).toBe(true);
  });

  it.each(goldenAnswers)('$operationId of $service may answer $status with $file', (answer) => {
    expect(faultsOf(operation(answer.service, answer.operationId), answer.status, completed(answer))).toEqual([]);
  });
});

describe('golden payloads and Prism', () => {
  const mocks = new Map<ServiceName, PrismMock>();
  beforeAll(async () => {
    for (const service of serviceNames) mocks.set(service, await startPrism(service));
  }, 180_000);
  afterAll(async () => {
    for (const mock of mocks.values()) await mock.close();
  });

  const send = (service: ServiceName, path: string, body: unknown) =>
    fetch(`${mocks.get(service)!.url}${path}`, { method: 'POST', headers: AUTH, body: JSON.stringify(body), signal: AbortSignal.timeout(15_000) });

  it.each(goldenRequests)('$path of the mock takes $file and its answer fits', async ({ file, service, operationId, path, success }) => {
    const answer = await send(service, path, goldenPayload(file));
    const body: unknown = await answer.json();
    expect(success, JSON.stringify(body)).toContain(answer.status);
    expect(faultsOf(operation(service, operationId), answer.status, body)).toEqual([]);
  });

  it.each(serviceNames)('every GET of %s that takes no parameter is answered by the mock, and the answer fits', async (service) => {
    const rows = serviceOperations(service);
    expect(rows.length).toBeGreaterThan(3);
    for (const row of rows) {
      const answer = await fetch(`${mocks.get(service)!.url}${row.path}`, { headers: AUTH });
      expect(answer.status, `${row.method} ${row.path}`).toBe(200);
      if (row.produces === 'application/json') expect(faultsOf(row, 200, await answer.json()), row.operationId).toEqual([]);
      else await answer.text();
    }
  });

  it('the mock refuses what the contract refuses', async () => {
    expect((await send('agent-orchestrator', '/v1/agents/agt_x/runs', {})).status).toBe(400);
    expect((await send('agent-orchestrator', '/v1/agents/agt_x/runs', { input: 7 })).status).toBe(400);
    expect((await send('model-policy', '/v1/policy:check', { policy_check: {} })).status).toBe(400);
  });
});

function serviceOperations(service: ServiceName) {
  return operationsOf[service].filter((row) => row.method === 'GET' && !row.path.includes('{') && !row.planned);
}

