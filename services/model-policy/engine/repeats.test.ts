/** Which calls claim their request id, and what that costs the others. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startModelPolicy, type RunningModelPolicy } from '../fixture/running-model-policy.ts';

let policy: RunningModelPolicy;
const claimed: string[] = [];
beforeAll(async () => {
  policy = await startModelPolicy({ tenants: [{ tenant_id: 'tnt_test' }, { tenant_id: 'tnt_other' }] });
  const { claim } = policy.usage;
  policy.usage.claim = (auth, requestId, hash) => {
    claimed.push(requestId);
    return claim.call(policy.usage, auth, requestId, hash);
  };
});
afterAll(() => policy?.close());

const messages = [{ role: 'user', content: 'hello' }];
const canonical = (more: Record<string, unknown> = {}) => ({ request: { request_id: 'req_own', operation: 'chat', model_ref: 'tier:balanced', input: { messages }, ...more } });

it('no call claims an id that the server made itself', async () => {
  for (const [path, body] of [
    ['/v1/chat/completions', { model: 'tier:balanced', messages }], ['/v1/chat/completions', { model: 'tier:balanced', messages, stream: true }],
    ['/v1/embeddings', { model: 'tier:balanced', input: 'hello' }], ['/v1/models:invoke', { operation: 'chat', input: { text: 'hello' } }],
  ] as const) expect([path, (await policy.call('POST', path, { body })).status]).toEqual([path, 200]);
  expect(claimed).toEqual([]);
}, 180_000);

it('a call under its caller\'s id claims it once, whole or streamed, and its repeats ask nobody', async () => {
  const first = await policy.call('POST', '/v1/models:invoke', { body: canonical() });
  const again = await policy.call('POST', '/v1/models:invoke', { body: canonical() });
  expect([first.status, again.body.response]).toEqual([200, first.body.response]);
  expect((await policy.call('POST', '/v1/models:invoke', { body: canonical({ model_ref: 'tier:fast' }) })).body.error.details.reason).toBe('request_id_reused');
  await policy.call('POST', '/v1/models:invoke', { body: { ...canonical({ request_id: 'req_streamed' }), stream: true } });
  expect(claimed).toEqual(['req_own', 'req_streamed']);
}, 180_000);

it('an id is that of its tenant: under the same one another tenant makes a call of its own', async () => {
  const asked = (text: string) => ({ body: canonical({ request_id: 'req_of_both', input: { messages: [{ role: 'user', content: text }] } }) });
  expect((await policy.call('POST', '/v1/models:invoke', asked('of mine'))).status).toBe(200);
  const before = claimed.length;
  expect((await policy.call('POST', '/v1/models:invoke', { ...asked('of theirs'), tenant: 'tnt_other' })).status, 'no conflict that would tell of the first').toBe(200);
  expect(claimed.length, 'made, not told again').toBe(before + 1);
}, 180_000);
