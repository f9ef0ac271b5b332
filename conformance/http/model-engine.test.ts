/** No operation of Model Policy goes around the engine: what reaches a backend has a hold while it runs and a row in the ledger afterwards. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operations } from '../../generated/handlers/model-policy.ts';
import { newId } from '../../services/platform/ids.ts';
import { PLATFORM_SCOPES, TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import { CHAT_MODEL, EMBED_MODEL, startGateway, type Gateway } from '../clients/gateway.ts';
import { authOf } from '../../services/model-policy/fixture/running-model-policy.ts';
import { verifies } from './verifies.ts';

const ALL_SCOPES = [...TENANT_SCOPES, ...PLATFORM_SCOPES].join(' ');
const messages = [{ role: 'user', content: 'hello' }];
const chat = () => ({ request: { request_id: newId('req'), operation: 'chat', model_ref: CHAT_MODEL, input: { messages } } });
const embed = () => ({ request: { request_id: newId('req'), operation: 'embed', model_ref: EMBED_MODEL, input: { texts: ['a', 'b'] } } });

/** Every form of a call that is known; an operation without an entry is called with an empty body. */
const BODIES: Readonly<Record<string, () => readonly object[]>> = {
  invokeModel: () => [chat(), { ...chat(), stream: true }, embed(), { operation: 'chat', model_id: CHAT_MODEL, input: { text: 'x' } }, { operation: 'embed', model_id: EMBED_MODEL, input: { text: 'x' } }],
  createChatCompletion: () => [{ model: CHAT_MODEL, messages }, { model: CHAT_MODEL, messages, stream: true }],
  createEmbeddings: () => [{ model: EMBED_MODEL, input: 'a' }, { model: EMBED_MODEL, input: ['a', 'b'], encoding_format: 'base64' }],
  policyCheck: () => [{ policy_check: { content: { type: 'text', text: 'hello' } } }, { action: 'read', resource: { name: 'x' } }],
};
const REACHES_BACKENDS = ['createChatCompletion', 'createEmbeddings', 'invokeModel'];

const served = operations.filter((row) => !row.planned);

describe('the engine', () => {
  let gateway: Gateway;
  let openHolds = 0;
  const holdsAtCall: number[] = [];

  beforeAll(async () => {
    gateway = await startGateway([{ tenant_id: 'tnt_budget', quotas: { models: { token_budget: { window: 'day', max_tokens: 100_000_000 } } } }, { tenant_id: 'tnt_spent', quotas: { models: { token_budget: { window: 'day', max_tokens: 1 } } } }]);
    gateway.says({});
    const { usage } = gateway.service;
    const { reserve, settle, release } = usage;
    usage.reserve = async (auth, hold) => {
      const outcome = await reserve.call(usage, auth, hold);
      if (outcome.outcome === 'held') openHolds += 1;
      return outcome;
    };
    const ended = async (end: Promise<boolean>): Promise<boolean> => {
      const first = await end;
      if (first) openHolds -= 1;
      return first;
    };
    usage.settle = (...all) => ended(settle.apply(usage, all));
    usage.release = (...all) => ended(release.apply(usage, all));
    const { answer } = gateway.upstream;
    gateway.upstream.answer = (call) => {
      if (call.method === 'POST') holdsAtCall.push(openHolds);
      return typeof answer === 'function' ? answer(call) : answer;
    };
  });
  afterAll(() => gateway?.close());

  const rows = async (tenant: string): Promise<number> => (await gateway.service.usage.entries(authOf(tenant), { limit: 1000 })).entries.length;

  /** Calls of backends and rows of the ledger that the operation made. */
  async function cost(row: (typeof operations)[number], tenant: string): Promise<{ readonly statuses: number[]; readonly calls: number; readonly entries: number }> {
    const [calls, entries] = [holdsAtCall.length, await rows(tenant)];
    const statuses: number[] = [];
    for (const body of row.method === 'GET' || row.method === 'DELETE' ? [undefined] : (BODIES[row.handledBy]?.() ?? [{}])) {
      const answer = await fetch(`${gateway.service.url}${row.path.replaceAll(/\{\w+\}/g, 'unknown')}`, {
        method: row.method, headers: { 'x-tenant-id': tenant, 'x-scopes': ALL_SCOPES, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      await answer.text();
      statuses.push(answer.status);
    }
    return { statuses, calls: holdsAtCall.length - calls, entries: (await rows(tenant)) - entries };
  }

  it('stands between every operation and the backends', verifies(['PRS-6.2-06', 'HLD-6.2-01'], async () => {
    const reached = new Set<string>();
    for (const row of served) {
      const { calls, entries, statuses } = await cost(row, 'tnt_budget');
      expect([row.operationId, entries], `${row.operationId} answered ${statuses.join(', ')}`).toEqual([row.operationId, calls]);
      if (calls > 0) {
        reached.add(row.handledBy);
        expect([row.operationId, statuses.every((status) => status === 200), calls]).toEqual([row.operationId, true, statuses.length]);
      }
    }
    expect([...reached].sort()).toEqual(REACHES_BACKENDS);
    expect(Math.min(...holdsAtCall)).toBe(1);
    expect(openHolds).toBe(0);
  }));

  it('lets nothing through once the budget is spent', verifies(['PRS-6.2-06', 'PRS-15.3-04'], async () => {
    for (const row of served) {
      const { calls, statuses } = await cost(row, 'tnt_spent');
      expect([row.operationId, calls]).toEqual([row.operationId, 0]);
      if (REACHES_BACKENDS.includes(row.handledBy)) expect(statuses).toEqual(statuses.map(() => (row.errorShape === 'openai' ? 429 : 403)));
    }
  }));
});
