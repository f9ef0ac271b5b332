/** Two operators set their nodes up, and what happens when something in their hands is not right. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { validators } from '../../../generated/validators/schemas.js';
import { verifies } from '../../../conformance/http/verifies.ts';
import { parsePeersFile } from '../../../services/federation/peers/peers-file.ts';
import type { CliError } from '../errors.ts';
import { loadSettings, serviceEnvironment, type Settings } from '../settings.ts';
import { addPeerFrom, init, listCertificates, listPeers, removePeerOf, renew, type FederationAnswer } from './administration.ts';
import { certificateFacts, isIssuedBy } from './certificate-facts.ts';
import { createAuthority, issueCertificate } from './certificates.ts';
import { federationEnvironment, federationFiles, writePrivate } from './files.ts';
import { prepareFederation } from './local-federation.ts';
import { readPeersDocument, readTrusted } from './peers-document.ts';
import { cardOf, ownAuthority } from './set-up.ts';

let root: string;
let acme: Settings;
let partner: Settings;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'agentos-federation-'));
  [acme, partner] = ['acme', 'partner'].map((name) => loadSettings({}, { AGENTOS_HOME: path.join(root, name) })) as [Settings, Settings];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  writeFileSync(path.join(root, name), text);
  return path.join(root, name);
};
const cardFile = (settings: Settings): string => file(`${cardOf(settings.home).peer.stack_id}.json`, JSON.stringify(cardOf(settings.home)));
const initBoth = async (): Promise<void> => {
  await init(acme, { stackId: 'stk_acme', url: 'https://agents.acme.example:50084', region: 'eu-1' });
  await init(partner, { stackId: 'stk_partner', url: 'https://agents.partner.example:50084' });
};
const fileTexts = (settings: Settings): Record<string, string> => {
  const { folder } = federationFiles(settings.home);
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]));
};
const valid = ({ document }: FederationAnswer): void => expect(validators.CliFederation(document), JSON.stringify(validators.CliFederation.errors)).toBe(true);
const refusal = (work: Promise<unknown>): Promise<CliError> => work.then(() => expect.fail('It should have been refused.'), (error: CliError) => error);

describe('two operators', () => {
  it('each make an authority, exchange cards, and say for whom the other may speak', verifies(['RM-05', 'PRS-7.4-01'], async () => {
    await initBoth();
    for (const [own, other, tenants] of [[acme, partner, 'tnt_acme,tnt_shared'], [partner, acme, 'tnt_partner']] as const) {
      const fingerprint = certificateFacts(cardOf(other.home).authority).fingerprint;
      valid(await addPeerFrom(own, cardFile(other), { tenants, fingerprint: fingerprint.toLowerCase().replaceAll(':', '') }));
    }
    const { local, peers } = readPeersDocument(acme.home)!;
    expect(local).toMatchObject({ stack_id: 'stk_acme', region: 'eu-1', endpoints: { federation_base_url: 'https://agents.acme.example:50084' } });
    expect(peers).toMatchObject([{ stack_id: 'stk_partner', endpoints: { federation_base_url: 'https://agents.partner.example:50084' }, trust: { tenants: ['tnt_acme', 'tnt_shared'], authority: certificateFacts(ownAuthority(partner.home)[0]!).fingerprint } }]);
    expect(parsePeersFile(readFileSync(federationFiles(acme.home).peers, 'utf8')).peers.map((peer) => peer.stack_id), 'as Federation reads it').toEqual(['stk_partner']);
    const node = readFileSync(federationFiles(acme.home).certificate, 'utf8');
    expect(certificateFacts(node)).toMatchObject({ stackId: 'stk_acme', names: ['agents.acme.example'] });
    expect(isIssuedBy(node, ownAuthority(acme.home)[0]!)).toBe(true);
    expect(readTrusted(acme.home).map((pem) => certificateFacts(pem).fingerprint)).toEqual([acme, partner].map(({ home }) => certificateFacts(ownAuthority(home)[0]!).fingerprint));
    const { folder } = federationFiles(acme.home);
    expect([statSync(folder).mode & 0o777, ...readdirSync(folder).map((name) => statSync(path.join(folder, name)).mode & 0o777)]).toEqual([0o700, ...readdirSync(folder).map(() => 0o600)]);
    expect(JSON.stringify(cardOf(acme.home))).not.toContain('PRIVATE KEY');
  }));

  it('are told who is away, see their certificates, and give their services what they need', async () => {
    await initBoth();
    await addPeerFrom(acme, cardFile(partner), { tenants: '*', scopes: 'runs:create runs:read' });
    const peers = await listPeers({ ...acme });
    valid(peers);
    expect(peers).toMatchObject({ exitCode: 1, document: { peers: [{ stack_id: 'stk_partner', tenants: ['*'], scopes: ['runs:create', 'runs:read'], state: 'away' }] } });
    const certificates = listCertificates(acme);
    valid(certificates);
    expect(certificates.document.certificates!.map((row) => [row.what, row.days_left])).toEqual([['node', 89], ['authority', 3651], ['trusted', 3651]]);
    const given = serviceEnvironment(loadSettings({}, acme.env), { databaseUrlFile: null, signingKeyFile: '/k' });
    expect(given).toMatchObject({ AGENTOS_STACK_ID: 'stk_acme', AGENTOS_REGION: 'eu-1', AGENTOS_FED_REQUIRE_MTLS: 'true', AGENTOS_FED_SERVER_KEY: federationFiles(acme.home).key, AGENTOS_PEERS_FILE: federationFiles(acme.home).peers });
    const own = serviceEnvironment(loadSettings({}, { ...acme.env, AGENTOS_FED_SERVER_CERT: '/own.crt' }), { databaseUrlFile: null, signingKeyFile: '/k' });
    expect(own, 'who names certificates in variables is left alone').not.toHaveProperty('AGENTOS_FED_SERVER_KEY');
    expect(federationEnvironment(path.join(root, 'nobody'))).toEqual({});
    valid(await removePeerOf(acme, 'stk_partner'));
    expect([readPeersDocument(acme.home)!.peers, readTrusted(acme.home).length]).toEqual([[], 1]);
    expect(await refusal(removePeerOf(acme, 'stk_partner'))).toMatchObject({ exitCode: 1 });
  });

  it('may repeat it: nothing changes that is right, the authority never, and the certificate where its host does', async () => {
    await initBoth();
    await addPeerFrom(acme, cardFile(partner), { tenants: 'tnt_acme' });
    const before = fileTexts(acme);
    await init(acme, {});
    expect(fileTexts(acme)).toEqual(before);
    await init(acme, { url: 'https://new.acme.example:50084', names: '10.0.0.7' });
    const after = fileTexts(acme);
    expect(certificateFacts(after['node.crt']!)).toMatchObject({ stackId: 'stk_acme', names: ['new.acme.example', '10.0.0.7'] });
    expect([after['authority.crt'], after['authority.key'], after['trusted.pem']]).toEqual([before['authority.crt'], before['authority.key'], before['trusted.pem']]);
    expect(readPeersDocument(acme.home)!.peers).toHaveLength(1);
    valid(await renew(acme, {}));
    expect(fileTexts(acme)['node.key']).not.toBe(after['node.key']);
    expect(certificateFacts(fileTexts(acme)['node.crt']!).names).toEqual(certificateFacts(after['node.crt']!).names);
  });

  it('find a certificate that soon runs out renewed by the next up', async () => {
    await init(acme, { stackId: 'stk_acme', url: 'https://agents.acme.example:50084' });
    const files = federationFiles(acme.home);
    const authority = { cert: readFileSync(files.authority, 'utf8'), key: readFileSync(files.authorityKey, 'utf8') };
    for (const [days, renewed] of [[40, false], [29, true]] as const) {
      const old = await issueCertificate(authority, { stackId: 'stk_acme', names: ['agents.acme.example'], days });
      writePrivate(files.key, old.key);
      writePrivate(files.certificate, old.cert);
      await prepareFederation([acme]);
      expect(readFileSync(files.certificate, 'utf8') !== old.cert, `${days} days left`).toBe(renewed);
    }
    await prepareFederation([partner]);
    expect(existsSync(federationFiles(partner.home).folder), 'a node without a federation gets none').toBe(false);
  });
});

describe('what an operator gets wrong', () => {
  it('is refused, said, and changes nothing', async () => {
    await initBoth();
    const card = cardFile(partner);
    const before = fileTexts(acme);
    const broken = (change: object): string => file('broken.json', JSON.stringify({ ...cardOf(partner.home), ...change }));
    const other = certificateFacts(ownAuthority(acme.home)[0]!).fingerprint;
    const wrong: ReadonlyArray<readonly [Promise<unknown>, number, RegExp]> = [
      [addPeerFrom(acme, card, {}), 2, /for which tenants/],
      [addPeerFrom(acme, card, { tenants: 'tnt_a', fingerprint: other }), 1, /not from whom you spoke with/],
      [addPeerFrom(acme, cardFile(acme), { tenants: 'tnt_a' }), 2, /is this node itself/],
      [addPeerFrom(acme, path.join(root, 'absent.json'), { tenants: 'tnt_a' }), 2, /cannot be read/],
      [addPeerFrom(acme, file('text', 'hello'), { tenants: 'tnt_a' }), 2, /is no peer card/],
      [addPeerFrom(acme, broken({ authority: readFileSync(federationFiles(partner.home).certificate, 'utf8') }), { tenants: 'tnt_a' }), 2, /is no peer card/],
      [init(acme, { stackId: 'stk acme' }), 2, /cannot be a stack id/],
      [init(acme, { url: 'http://agents.acme.example:50084' }), 2, /--url cannot be/],
      [init(acme, { cert: 'a' }), 2, /belong together/],
      [init(loadSettings({}, { AGENTOS_HOME: path.join(root, 'new') }), {}), 2, /no name of its own/],
      [init(loadSettings({}, { AGENTOS_HOME: path.join(root, 'new'), AGENTOS_STACK_ID: 'stk_x' }), { stackId: 'stk_y' }), 3, /AGENTOS_STACK_ID is stk_x/],
      [listPeers(loadSettings({}, { AGENTOS_HOME: path.join(root, 'new') })), 3, /in no federation/],
    ];
    for (const [work, exitCode, words] of wrong) expect(await refusal(work)).toMatchObject({ exitCode, message: expect.stringMatching(words) as string });
    expect(fileTexts(acme)).toEqual(before);
  });

  it('in certificates of their own authority is found before they are taken', async () => {
    const [company, stranger] = await Promise.all([createAuthority('Acme PKI'), createAuthority('Somebody')]);
    const [good, wrongStack, expired, foreign] = await Promise.all([
      issueCertificate(company, { stackId: 'stk_acme', names: ['agents.acme.example'] }), issueCertificate(company, { stackId: 'stk_other', names: ['x'] }),
      issueCertificate(company, { stackId: 'stk_acme', names: ['x'], days: -1 }), issueCertificate(stranger, { stackId: 'stk_acme', names: ['x'] }),
    ]);
    const bring = ({ cert, key }: typeof good) => ({ stackId: 'stk_acme', url: 'https://agents.acme.example:50084', cert: file('own.crt', cert), key: file('own.key', key), ca: file('ca.crt', company.cert) });
    for (const [pair, words] of [[wrongStack, /names the stack stk_other/], [expired, /expired on/], [foreign, /is not signed by/], [{ ...good, key: foreign.key }, /is not the key of/], [{ ...good, cert: 'x' }, /cannot be read/]] as const) {
      expect((await refusal(init(acme, bring(pair)))).evidence.join()).toMatch(words);
    }
    expect(existsSync(federationFiles(acme.home).folder)).toBe(false);
    await init(acme, bring(good));
    expect(readFileSync(federationFiles(acme.home).certificate, 'utf8')).toBe(good.cert);
    expect(cardOf(acme.home).authority).toBe(company.cert);
    expect((await refusal(renew(acme, {}))).message, 'its key does not lie here').toMatch(/not from an authority that lies here/);
    const next = await issueCertificate(company, { stackId: 'stk_acme', names: ['agents.acme.example'] });
    await renew(acme, bring(next));
    expect(readFileSync(federationFiles(acme.home).certificate, 'utf8')).toBe(next.cert);
  });
});
