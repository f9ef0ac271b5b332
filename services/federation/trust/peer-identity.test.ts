import { createHash } from 'node:crypto';
import { get, type RequestOptions } from 'node:https';
import { gzipSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { askAsPeer, assertionFor, CALLER, type PeerAnswer, type PeerAsk } from '../../../conformance/harness/peer-caller.ts';
import { startPeerDoor, type PeerDoor } from '../../../conformance/harness/peer-door.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { startItemService, writeItemContract, type ItemServiceOptions } from '../../platform/http/fixture/item-service.ts';
import { MemoryAssertionUses } from '../adapters/assertion-uses-memory.ts';
import type { AssertionUsesPort } from '../ports/assertion-uses.ts';
import { createPeerIdentity } from './peer-identity.ts';

let door: PeerDoor;
const open = async (options: ItemServiceOptions = {}, uses: AssertionUsesPort = new MemoryAssertionUses()): Promise<PeerDoor> => (door = await startPeerDoor({ startItemService, createPeerIdentity }, uses, options));
afterEach(() => door?.close());

const ask = async (what: PeerAsk): Promise<Extract<PeerAnswer, { status: number }>> => {
  const answer = await askAsPeer(door.target, door.peer, what);
  expect(answer).toHaveProperty('status');
  return answer as Extract<PeerAnswer, { status: number }>;
};
const ITEM = { name: 'an item' };

describe('a call of a peer', () => {
  it.each([
    ['straight from node:http', {}],
    ['through Express', { hot: false }],
    ['with the referee', { hot: false, contractCheck: true, openapiPath: writeItemContract() }],
  ] as Array<[string, ItemServiceOptions]>)('reaches the handler in the name of its caller %s', verifies(['PRS-7.4-07'], async (_name: string, options: ItemServiceOptions) => {
    await open(options);
    const { status, body } = await ask({ path: '/v1/items', body: ITEM, headers: { 'x-tenant-id': 'tnt_demo' } });
    expect(status, JSON.stringify(body)).toBe(201);
    expect(door.service.seen).toHaveLength(1);
    const { auth } = door.service.seen[0];
    expect(auth).toMatchObject({ tenant_id: 'tnt_demo', principal: CALLER.principal, peer: 'stk_a', roles: ['tenant_user'] });
    expect((await ask({ path: '/v1/items?limit=3' })).body).toMatchObject({ limit: 3 });
    expect((await ask({ path: '/v1/items/itm_1%3Aarchive', method: 'POST' })).status, 'the target counts as it was sent').toBe(200);
  }));

  it('has scopes of a tenant alone, those that the peer may have, and no role beyond one', async () => {
    await open();
    const auth = { ...CALLER, scopes: ['runs:create', 'runs:read', 'tenants:admin', 'tenants:act-as', 'made:up'], roles: ['tenant_user', 'platform_admin'] };
    await ask({ path: '/v1/items', body: ITEM, auth });
    expect(door.service.seen.at(-1).auth).toMatchObject({ scopes: ['runs:create', 'runs:read'], roles: ['tenant_user'] });
    door.rules = { tenants: new Set(['tnt_demo']), scopes: new Set(['runs:create']), authority: null };
    await ask({ path: '/v1/items', body: ITEM, auth });
    expect(door.service.seen.at(-1).auth.scopes).toEqual(['runs:create']);
    expect((await ask({ path: '/v1/admin/items', auth })).status).toBe(403);
  });

  it('is refused for another body, as it was sent and before it is read as anything', verifies(['PRS-7.4-02'], async () => {
    await open();
    const zipped = gzipSync(JSON.stringify(ITEM));
    const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url');
    const asZipped = { path: '/v1/items', body: ITEM, sends: zipped, headers: { 'content-encoding': 'gzip' } };
    expect((await ask({ ...asZipped, claims: { digest: digest(zipped) } })).status).toBe(201);
    expect((await ask(asZipped)).body.error.details, 'the digest of what it inflates to').toEqual({ reason: 'peer_untrusted', peer: 'stk_a' });
    for (const sends of ['{"name":"another"}', '{"name":', 'not JSON at all', '{"unknown": 1}']) {
      const { status, body } = await ask({ path: '/v1/items', body: ITEM, sends });
      expect({ status, reason: body.error.details.reason }).toEqual({ status: 401, reason: 'peer_untrusted' });
    }
    expect((await ask({ path: '/v1/items/itm_1', method: 'GET', sends: '{}' })).body.error.details.reason, 'a body where there is none to be').toBe('peer_untrusted');
    expect((await ask({ path: '/v1/items', claims: { digest: digest(zipped) } })).body.error.details.reason, 'a digest of nothing').toBe('peer_untrusted');
    expect(door.service.seen).toHaveLength(1);
  }));

  it('is told nothing of why, and the log is told everything', async () => {
    await open();
    const { body } = await ask({ path: '/v1/items', claims: { aud: 'stk_c' } });
    expect(JSON.stringify(body)).not.toMatch(/aud|stk_c/);
    expect(door.service.logged).toContainEqual(expect.objectContaining({ peer: 'stk_a', reason: 'peer_untrusted', evidence: expect.stringContaining('"aud"') as string, correlation_id: body.correlation_id }));
    expect(JSON.stringify(door.service.logged)).not.toContain('eyJ');
  });

  it('is not believed while nobody knows whether its assertion was used', async () => {
    const away: AssertionUsesPort = { capabilities: () => ({ adapter: 'away', contractVersion: '1.0', durable: false, features: [] }), use: () => Promise.reject(new AgentOsError('dependency_unavailable', { message: 'The store is away.' })) };
    await open({}, away);
    expect((await ask({ path: '/v1/items', body: ITEM })).status).toBe(503);
    expect(door.service.seen).toEqual([]);
  });

  it('needs a connection that shows who calls', async () => {
    const identity = createPeerIdentity({ verifier: {} as never, rulesOf: () => null, uses: new MemoryAssertionUses() });
    expect(() => identity.authenticate({}, { tenancy: 'tenant' })).rejects.toThrow(/by its connection/);
    const plain = { request: { socket: {}, headers: {} } as never, target: '/', bodyCheck: null, log: { warn: () => undefined } as never };
    await expect(identity.authenticate({ authorization: 'Bearer x.y.z' }, { tenancy: 'tenant' }, plain)).rejects.toMatchObject({ code: 'unauthorized', details: { reason: 'peer_untrusted' } });
  });
});

describe('a stream of a peer', () => {
  const OFTEN = { limits: { rightsCheckMs: 30 } };

  async function openStream(claims: Readonly<Record<string, unknown>> = {}): Promise<{ ended(): boolean; leave(): void }> {
    const what: PeerAsk = { path: '/v1/items/silent/events', claims };
    const token = await assertionFor(door.target, door.peer, what);
    const options: RequestOptions = { agent: false, ca: door.target.authority, ...door.peer.certificate, headers: { authorization: `Bearer ${token}` } };
    return new Promise((resolve, reject) => {
      const asked = get(`${door.target.url}${what.path}`, options, (answer) => {
        let over = false;
        answer.on('close', () => (over = true)).on('error', () => undefined).resume();
        if (answer.statusCode === 200) resolve({ ended: () => over, leave: () => asked.destroy() });
        else reject(new Error(`The stream was refused: ${answer.statusCode}`));
      });
      asked.on('error', reject);
    });
  }

  it('outlives its assertion, which is looked at again neither for its time nor for its use', verifies(['PRS-7.4-02'], async () => {
    await open(OFTEN);
    const stream = await openStream({ exp: Math.floor(Date.now() / 1000) + 1 });
    // Its second, the two that clocks may differ, and some thirty looks at the rights in each.
    await sleep(3_500);
    expect(stream.ended()).toBe(false);
    stream.leave();
  }));

  it.each<[string, () => unknown]>([
    ['the peer may not speak for the tenant any more', () => (door.rules = { tenants: new Set(['tnt_other']), scopes: null, authority: null })],
    ['the peer is none any more', () => (door.rules = null)],
    ['the peer may not read any more', () => (door.rules = { tenants: 'all', scopes: new Set(['runs:create']), authority: null })],
    ['the peer is bound to another authority', () => (door.rules = { tenants: 'all', scopes: null, authority: 'AB:'.repeat(31) + 'AB' })],
    ['its certificate has run out', () => {
      const { now } = Date;
      vi.spyOn(Date, 'now').mockImplementation(() => now.call(Date) + 400 * 86_400_000);
    }],
    ['the tenant is suspended', () => door.service.directory.updateTenant(null as never, 'tnt_demo', { status: 'suspended' })],
  ])('ends when %s', verifies(['PRS-7.4-07'], async (_name: string, change: () => unknown) => {
    await open(OFTEN);
    const stream = await openStream();
    await sleep(150);
    expect(stream.ended()).toBe(false);
    await change();
    await expect.poll(() => stream.ended(), { timeout: 5_000 }).toBe(true);
  }));
});
