/** Checks of what one node believes of another, over real mutual TLS; see mutant-checks.ts. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { stackCertificate } from '../harness/certificate.ts';
import { askAsPeer, assertionFor, type PeerAnswer, type PeerAsk } from '../harness/peer-caller.ts';
import { startPeerDoor, type PeerDoor } from '../harness/peer-door.ts';
import type { BuildUnderTest, Check } from './mutant-checks.ts';

const ITEMS: PeerAsk = { path: '/v1/items' };
const status = (answer: PeerAnswer): number | string => ('status' in answer ? answer.status : answer.failed);
const ask = async (door: PeerDoor, what: PeerAsk): Promise<number | string> => status(await askAsPeer(door.target, door.peer, what));

/** Two processes of one node, behind doors of their own, over one database. */
async function withDoors(build: BuildUnderTest, url: string, work: (door: PeerDoor, other: PeerDoor) => Promise<void>): Promise<void> {
  const uses = [await build.openAssertionUses(url), await build.openAssertionUses(url)];
  const doors = [await startPeerDoor(build, uses[0]!), await startPeerDoor(build, uses[1]!)];
  try {
    assert.equal(await ask(doors[0]!, ITEMS), 200, 'a good peer must be served, or this proves nothing');
    await work(doors[0]!, doors[1]!);
  } finally {
    await Promise.all(doors.map((door) => door.close()));
    await Promise.all(uses.map((each) => each.close()));
  }
}

export const PEER_CHECKS = {
  'an assertion of a peer is good for one request': (build, url) =>
    withDoors(build, url, async (door, other) => {
      const claims = { jti: `jti_${Date.now()}_of_a_check` };
      assert.equal(await ask(door, { ...ITEMS, claims }), 200);
      assert.equal(await ask(door, { ...ITEMS, claims }), 401, 'an assertion was taken twice');
      assert.equal(await ask(other, { ...ITEMS, claims }), 401, 'an assertion was taken once in each process');
    }),

  'an assertion for another node opens nothing': (build, url) =>
    withDoors(build, url, async (door) => {
      assert.equal(await ask(door, { ...ITEMS, claims: { aud: 'stk_c' } }), 401, 'what a peer had signed for another node was believed');
    }),

  'an assertion of a peer is good for its own body': (build, url) =>
    withDoors(build, url, async (door) => {
      const what = { path: '/v1/items', body: { name: 'signed' } };
      assert.equal(await ask(door, what), 201);
      assert.equal(await ask(door, { ...what, sends: '{"name":"another"}' }), 401, 'a body was taken that nobody had signed');
    }),

  'an assertion is good over the connection that shows its certificate': (build, url) =>
    withDoors(build, url, async (door) => {
      const thief = await stackCertificate(door.authority, 'stk_a');
      const jwk = createPublicKey(createPrivateKey(thief.key)).export({ format: 'jwk' });
      const token = await assertionFor(door.target, { ...door.peer, certificate: thief }, { ...ITEMS, header: { jwk } });
      assert.equal(await ask(door, { ...ITEMS, token }), 401, 'an assertion brought a key of its own, and was believed');
      const stolen = await assertionFor(door.target, door.peer, ITEMS);
      assert.equal(await ask(door, { ...ITEMS, token: stolen, presents: thief }), 401, 'an assertion was believed over another connection');
    }),

  'a peer speaks for the tenants that it may speak for': (build, url) =>
    withDoors(build, url, async (door) => {
      door.rules = { tenants: new Set(['tnt_other']), scopes: null, authority: null };
      assert.equal(await ask(door, ITEMS), 403, 'a peer spoke for a tenant that it may not speak for');
    }),
} satisfies Readonly<Record<string, Check>>;
