/** What `agentos federation` does, each with its answer for people and for machines. */
import { existsSync, readFileSync } from 'node:fs';
import type { CliFederation, CliFederationCertificate, CliFederationPeer } from '../../../generated/types/index.ts';
import { listOf, table } from '../administration.ts';
import { baseUrl } from '../api.ts';
import type { OptionValues } from '../command.ts';
import { CliError, EXIT, type ExitCode } from '../errors.ts';
import type { Settings } from '../settings.ts';
import { certificateFacts, certificatesIn } from './certificate-facts.ts';
import { federationFiles } from './files.ts';
import { shakeHands } from './handshake.ts';
import { checkStackId, parseCard, type PeerCard } from './peer-card.ts';
import { readPeersDocument, readTrusted, type PeerEntry, type PeerIdentity } from './peers-document.ts';
import { addPeer, cardOf, daysLeft, issueOwn, notSetUp, ownAuthority, removePeer, setUpFederation, type BroughtCertificates } from './set-up.ts';

/** A command's answer: the document for machines and the text for people. */
export interface FederationAnswer {
  readonly document: CliFederation;
  readonly text: string;
  /** ok when absent. */
  readonly exitCode?: ExitCode;
}

const plain = (_style: unknown, text: string): string => text;
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])$/;

export async function init(settings: Settings, options: OptionValues): Promise<FederationAnswer> {
  const identity = identityOf(settings, options);
  const done = await setUpFederation(settings.home, { identity, names: listOf(options['names']) ?? [], brought: broughtOf(options) });
  const { authority } = cardOf(settings.home);
  const fingerprint = certificateFacts(authority).fingerprint;
  const { folder } = federationFiles(settings.home);
  const url = identity.endpoints.federation_base_url;
  const text = [
    `${done}; files in ${folder}, mode 600`,
    `  stack id      ${identity.stack_id}`,
    `  for peers     ${url}`,
    `  fingerprint   ${fingerprint}`,
    '',
    ...nextOfInit(settings, identity, new URL(url)),
  ].join('\n');
  return { document: { command: 'federation', action: 'init', node: { stack_id: identity.stack_id, federation_base_url: url, authority_sha256: fingerprint, folder } }, text };
}

function nextOfInit(settings: Settings, identity: PeerIdentity, url: URL): readonly string[] {
  const here = LOOPBACK.test(url.hostname);
  const listens = settings.config.values.AGENTOS_FED_PEER_HOST;
  const steps = [
    ...(here ? ['this address is good on this machine alone; for others give --url https://<host name>:50084'] : []),
    ...(!here && LOOPBACK.test(listens) ? [`set AGENTOS_FED_PEER_HOST=0.0.0.0 in ${settings.envFile}, and let the peers through the firewall to port ${settings.config.values.AGENTOS_FED_PEER_PORT}`] : []),
    'agentos up   (starts the services with these certificates)',
    `agentos federation card > ${identity.stack_id}.card.json, and give that file to the other operator; nothing in it is secret`,
    'read each other the fingerprints over another way, a telephone for example',
    'agentos federation add-peer <their card> --tenants <tenants that they may speak for here> --fingerprint <what they read to you>',
    'agentos federation peers   (shows whether you meet)',
  ];
  return ['next:', ...steps.map((step, index) => `  ${index + 1}. ${step}`)];
}

/** What is given now goes before what stands there, and that before what the settings say. */
function identityOf(settings: Settings, options: OptionValues): PeerIdentity {
  const known = readPeersDocument(settings.home)?.local;
  const { values, sources } = settings.config;
  const given = textOf(options['stackId']) ?? (sources.AGENTOS_STACK_ID === 'default' ? known?.stack_id : values.AGENTOS_STACK_ID);
  if (given === undefined) throw new CliError('this node has no name of its own yet', { exitCode: EXIT.usage, evidence: ['every node of a federation has a stack id, which its certificate names'], next: 'agentos federation init --stack-id stk_acme --url https://agents.acme.example:50084' });
  if (sources.AGENTOS_STACK_ID !== 'default' && given !== values.AGENTOS_STACK_ID) throw new CliError(`AGENTOS_STACK_ID is ${values.AGENTOS_STACK_ID}, not ${given}`, { exitCode: EXIT.configuration, next: 'unset AGENTOS_STACK_ID, or leave --stack-id out' });
  const region = textOf(options['region']) ?? (values.AGENTOS_REGION || known?.region);
  const environment = values.AGENTOS_ENVIRONMENT || known?.environment;
  return {
    stack_id: checkStackId(given),
    ...(environment === undefined ? {} : { environment }),
    ...(region === undefined ? {} : { region }),
    api_versions: ['v1'],
    endpoints: {
      'agent-orchestrator_base_url': known?.endpoints['agent-orchestrator_base_url'] ?? baseUrl(settings, 'agent-orchestrator'),
      'model-policy_base_url': known?.endpoints['model-policy_base_url'] ?? baseUrl(settings, 'model-policy'),
      federation_base_url: urlOf(options['url']) ?? urlOf(values.AGENTOS_FED_PEER_URL, 'AGENTOS_FED_PEER_URL') ?? known?.endpoints.federation_base_url ?? `https://127.0.0.1:${values.AGENTOS_FED_PEER_PORT}`,
    },
  };
}

function urlOf(value: string | boolean | undefined, from = '--url'): string | undefined {
  const text = textOf(value);
  if (text === undefined) return undefined;
  if (URL.canParse(text) && new URL(text).protocol === 'https:') return text.replace(/\/+$/, '');
  throw new CliError(`${from} cannot be "${text}"`, { exitCode: EXIT.usage, evidence: ['peers are reached over https alone'], next: `${from}${from.startsWith('--') ? ' ' : '='}https://agents.acme.example:50084` });
}

function broughtOf(options: OptionValues): BroughtCertificates | null {
  const [certificate, key, authority] = [textOf(options['cert']), textOf(options['key']), textOf(options['ca'])];
  if (certificate === undefined && key === undefined && authority === undefined) return null;
  if (certificate !== undefined && key !== undefined && authority !== undefined) return { certificate, key, authority };
  throw new CliError('--cert, --key and --ca belong together', { exitCode: EXIT.usage, next: '--cert node.crt --key node.key --ca authority.crt' });
}

const textOf = (value: string | boolean | undefined): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

export async function addPeerFrom(settings: Settings, source: string, options: OptionValues): Promise<FederationAnswer> {
  const card = readCard(source);
  const tenants = listOf(options['tenants']);
  if (tenants === undefined || tenants.length === 0) {
    throw new CliError('for which tenants may the other node speak here?', { exitCode: EXIT.usage, evidence: ['nothing is let in by default'], next: `agentos federation add-peer ${source} --tenants tnt_acme   (or '*' for every tenant)` });
  }
  compareFingerprints(card, textOf(options['fingerprint']));
  const scopes = listOf(options['scopes']);
  const entry = addPeer(settings.home, card, { tenants, ...(scopes === undefined ? {} : { scopes }) });
  const peer = rowOf(entry, 'unasked', 'added');
  const text = [
    `${entry.stack_id} is a peer of this node`,
    `  for peers     ${entry.endpoints.federation_base_url}`,
    `  fingerprint   ${entry.trust.authority}${options['fingerprint'] === undefined ? '   (compare it with what the other operator reads to you)' : '   (as it was read to you)'}`,
    `  may speak for ${tenants.includes('*') ? 'every tenant of this node' : tenants.join(', ')}${scopes === undefined ? '' : `, with ${scopes.join(', ')}`}`,
    'The running Federation takes this by itself within a few seconds.',
    'next: agentos federation peers   (shows whether you meet; the other operator has to add your card, too)',
  ].join('\n');
  return { document: { command: 'federation', action: 'add-peer', peer }, text };
}

function readCard(source: string): PeerCard {
  let text: string;
  try {
    text = readFileSync(source === '-' ? 0 : source, 'utf8');
  } catch (cause) {
    throw new CliError(`${source} cannot be read`, { exitCode: EXIT.usage, evidence: [(cause as Error).message], next: 'agentos federation add-peer <card file> --tenants tnt_acme', cause });
  }
  return parseCard(text, source);
}

function compareFingerprints(card: PeerCard, wanted: string | undefined): void {
  if (wanted === undefined) return;
  const canonical = (text: string): string => text.replace(/[^0-9a-f]/gi, '').toUpperCase();
  const { fingerprint } = certificateFacts(card.authority);
  if (canonical(wanted) === canonical(fingerprint)) return;
  throw new CliError('the card is not from whom you spoke with: its fingerprint is another one; nothing was changed', { exitCode: EXIT.gate, evidence: [`card:    ${fingerprint}`, `read:    ${wanted}`], next: 'ask the other operator for the card again, over a way that nobody else writes to' });
}

export async function removePeerOf(settings: Settings, stackId: string): Promise<FederationAnswer> {
  if (!removePeer(settings.home, stackId)) throw new CliError(`there is no peer ${stackId}`, { exitCode: EXIT.gate, next: 'agentos federation peers' });
  return { document: { command: 'federation', action: 'remove-peer', removed: stackId }, text: `${stackId} is a peer no longer; the running Federation takes this by itself within a few seconds` };
}

/** Every peer with how a handshake goes just now; not ok while one is not met. */
export async function listPeers(settings: Settings): Promise<FederationAnswer> {
  const document = readPeersDocument(settings.home);
  if (document === null) throw notSetUp();
  const peers = await Promise.all(document.peers.map((entry) => meet(settings.home, entry)));
  const rows = peers.map((peer) => [peer.stack_id, peer.state, peer.tenants.join(','), peer.scopes?.join(',') ?? 'all', peer.federation_base_url, peer.detail]);
  const text = `${table(plain, ['PEER', 'STATE', 'TENANTS', 'SCOPES', 'URL', ''], rows, 'no peers yet')}${peers.length === 0 ? '\nnext: agentos federation add-peer <card> --tenants <tenants>' : ''}`;
  return { document: { command: 'federation', action: 'peers', peers }, text, exitCode: peers.every((peer) => peer.state === 'met') ? EXIT.ok : EXIT.gate };
}

async function meet(home: string, entry: PeerEntry): Promise<CliFederationPeer> {
  const met = await shakeHands(home, home, entry.endpoints.federation_base_url);
  if (met.outcome !== 'met') return rowOf(entry, met.outcome, met.reason);
  if (met.peer.stackId !== entry.stack_id) return rowOf(entry, 'refused', `its certificate names ${met.peer.stackId ?? 'no stack'}`);
  return rowOf(entry, 'met', `its certificate is good for ${daysLeft(met.peer)} days`);
}

function rowOf(entry: PeerEntry, state: CliFederationPeer['state'], detail: string): CliFederationPeer {
  return {
    stack_id: entry.stack_id, ...(entry.region === undefined ? {} : { region: entry.region }), federation_base_url: entry.endpoints.federation_base_url,
    tenants: [...entry.trust.tenants], scopes: entry.trust.scopes === undefined ? null : [...entry.trust.scopes], authority_sha256: entry.trust.authority ?? null, state, detail,
  };
}

export function listCertificates(settings: Settings): FederationAnswer {
  const files = federationFiles(settings.home);
  if (!existsSync(files.certificate)) throw notSetUp();
  const own = ownAuthority(settings.home);
  const others = readTrusted(settings.home).filter((pem) => !own.some((each) => certificateFacts(each).fingerprint === certificateFacts(pem).fingerprint));
  const certificates = [
    describe('node', certificatesIn(readFileSync(files.certificate, 'utf8'))[0]!, files.certificate),
    ...own.map((pem) => describe('authority', pem, files.authority)),
    ...others.map((pem) => describe('trusted', pem, files.trusted)),
  ];
  const rows = certificates.map((row) => [row.what, row.subject, `${row.not_after.slice(0, 10)} (${row.days_left} days)`, row.sha256]);
  const made = existsSync(files.authorityKey) ? 'npx agentos up renews this node\'s certificate thirty days before its end; now: npx agentos federation certs --renew' : 'these certificates were brought: agentos federation certs --cert <file> --key <file> --ca <file> takes new ones';
  return { document: { command: 'federation', action: 'certs', certificates }, text: `${table(plain, ['WHAT', 'SUBJECT', 'GOOD UNTIL', 'SHA-256'], rows, '')}\n${made}` };
}

function describe(what: CliFederationCertificate['what'], pem: string, file: string): CliFederationCertificate {
  const facts = certificateFacts(pem);
  return { what, subject: facts.subject, stack_id: facts.stackId, not_after: facts.notAfter.toISOString(), days_left: daysLeft(facts), sha256: facts.fingerprint, file };
}

/** The services follow the files, so nothing is restarted. */
export async function renew(settings: Settings, options: OptionValues): Promise<FederationAnswer> {
  const document = readPeersDocument(settings.home);
  if (document === null) throw notSetUp();
  const files = federationFiles(settings.home);
  const brought = broughtOf(options);
  if (brought !== null) await setUpFederation(settings.home, { identity: document.local, brought });
  else if (!existsSync(files.authorityKey)) throw new CliError('the certificate of this node is not from an authority that lies here', { exitCode: EXIT.configuration, evidence: [`${files.authorityKey} does not exist`], next: 'agentos federation certs --cert <file> --key <file> --ca <file>' });
  else await issueOwn(settings.home, document.local.stack_id, certificateFacts(readFileSync(files.certificate, 'utf8')).names);
  const list = listCertificates(settings);
  return { document: list.document, text: `renewed; the running Federation takes it by itself within a few seconds\n${list.text}` };
}
