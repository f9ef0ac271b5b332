/**
 * The certificates by which this node and others know each other, from configuration: what it serves peers with, what it
 * presents to them, and the authority that both must come from. Without them there are no peers: nothing is forwarded,
 * and no listener for peers is opened, in any mode.
 */
import { constants, X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { checkServerIdentity, type ConnectionOptions, type PeerCertificate as TlsPeerCertificate, type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { ConfigError, type Config } from '../../platform/config/load.ts';
import type { VariableName } from '../../platform/config/variables.ts';
import { followTlsFiles, tlsSource, type FollowedTlsFiles, type NamedFile, type TlsFiles, type TlsMaterial } from '../../platform/secrets/tls-files.ts';
import { algorithmsOf, createPeerAssertions, unusableKey, type PeerAssertions } from './assertions.ts';
import { certificatesOf, leadsTo, sentWith } from './authority.ts';
import { isClosedWithoutAWord, REFUSED_HERE } from './handshake-failures.ts';
import { stackIdIn, stackIdOf, stackUri } from './stack-uri.ts';

/** Both of one certificate: an assertion is believed only on a connection that presents what it was signed with. */
export interface PeerConnection {
  /** For requests: at most `MOST_CONNECTIONS` at once; others wait for as long as whoever asks does. */
  readonly dispatcher: Dispatcher;
  /** For streams: one connection each, as many as there are readers. */
  readonly streams: Dispatcher;
  /** Whether the node answers a new connection at all; null: it cannot be said. */
  accepts(origin: string): Promise<boolean | null>;
  readonly assertions: PeerAssertions;
}

export interface PeerTrust {
  readonly ownStackId: string;
  /** Ask again for every request: the answer changes when certificates do. */
  connection(targetStackId: string): PeerConnection;
  /** For connections that are made by hand. */
  clientTls(targetStackId: string): ConnectionOptions;
  /** For the listener. */
  readonly server: TlsFiles;
  /** Those that certificates of peers come from. */
  authorities(): readonly X509Certificate[];
  close(): Promise<void>;
}

export const NEEDED_FOR_PEERS = ['AGENTOS_FED_SERVER_CERT', 'AGENTOS_FED_SERVER_KEY', 'AGENTOS_FED_CA_CERT'] as const satisfies readonly VariableName[];

/** The certificates are named, so there is a listener for other nodes. */
export const hearsPeers = (values: Config['values']): boolean => NEEDED_FOR_PEERS.every((name) => values[name] !== undefined);

/** To one peer. A burst of forwards must not open a connection each: a handshake costs both nodes more than a request. */
export const MOST_CONNECTIONS = 32;
const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_TIMEOUT_MS = 3_000;
const EXPIRES_SOON_MS = 7 * 86_400_000;

export interface TrustingNode {
  readonly ownStackId: string;
  /** Fingerprint of the authority that a peer is bound to; null: any in AGENTOS_FED_CA_CERT. */
  authorityOf(stackId: string): string | null;
}

/** null where no certificates are configured. @throws ConfigError for half a configuration, or certificates that no peer would believe. */
export function openPeerTrust({ values }: Pick<Config, 'values'>, node: TrustingNode, log: Logger, lookMs?: number): PeerTrust | null {
  const given = NEEDED_FOR_PEERS.filter((name) => values[name] !== undefined);
  const missing = NEEDED_FOR_PEERS.filter((name) => values[name] === undefined);
  if (missing.length > 0 && values.AGENTOS_FED_REQUIRE_MTLS) {
    throw new ConfigError(missing[0]!, `AGENTOS_FED_REQUIRE_MTLS is on, and ${listed(missing)} not set. Set ${missing.join(', ')}, or turn it off to run without peers.`);
  }
  if (given.length === 0 && values.AGENTOS_FED_CLIENT_CERT === undefined && values.AGENTOS_FED_CLIENT_KEY === undefined) return null;
  if (missing.length > 0) throw new ConfigError(missing[0]!, `${listed(missing)} not set, and other certificates of Federation are. Set ${NEEDED_FOR_PEERS.join(', ')}, or none of them.`);
  const file = (variable: VariableName): NamedFile => ({ variable, path: String(values[variable]) });
  const ca = file('AGENTOS_FED_CA_CERT');
  const options = (cert: NamedFile) => ({ log, ...(lookMs === undefined ? {} : { lookMs }), check: (material: TlsMaterial) => requireOwn(cert, material, node.ownStackId, log) });
  const [serverCert, clientCert] = [file('AGENTOS_FED_SERVER_CERT'), clientPair(values.AGENTOS_FED_CLIENT_CERT, values.AGENTOS_FED_CLIENT_KEY) ? file('AGENTOS_FED_CLIENT_CERT') : null];
  const server = followTlsFiles({ cert: serverCert, key: file('AGENTOS_FED_SERVER_KEY'), ca }, options(serverCert));
  const client = clientCert === null ? server : followTlsFiles({ cert: clientCert, key: file('AGENTOS_FED_CLIENT_KEY'), ca }, options(clientCert));
  return peerTrust(node, server, client);
}

function clientPair(cert: string | undefined, key: string | undefined): boolean {
  if ((cert === undefined) === (key === undefined)) return cert !== undefined;
  const missing = cert === undefined ? 'AGENTOS_FED_CLIENT_CERT' : 'AGENTOS_FED_CLIENT_KEY';
  throw new ConfigError(missing, `${missing} is not set, but its other half is. Set both, or neither to present the server's certificate.`);
}

function peerTrust(node: TrustingNode, server: FollowedTlsFiles, client: FollowedTlsFiles): PeerTrust {
  const agents = new Map<string, Agents>();
  /** Of certificates before this one, with requests still under way. */
  const retired = new Set<Agents>();
  const retire = (old: Agents): void => {
    retired.add(old);
    void Promise.all(old.agents.map((agent) => agent.close().catch(() => undefined))).finally(() => retired.delete(old));
  };
  let trusted = client.current();
  // An authority that is trusted no more must not live on in connections that it opened. One more cuts off nobody.
  client.subscribe((next) => {
    const kept = new Set(authoritiesIn(next).map((each) => each.fingerprint256));
    const withdrawn = authoritiesIn(trusted).some((each) => !kept.has(each.fingerprint256));
    trusted = next;
    if (!withdrawn) return;
    for (const old of [...agents.values(), ...retired]) void cutOff(old);
    agents.clear();
  });
  const { ownStackId } = node;
  const clientTls = (targetStackId: string): ConnectionOptions => clientTlsOf(client.current(), targetStackId, node);
  return {
    ownStackId,
    connection(targetStackId) {
      const material = client.current();
      const authority = node.authorityOf(targetStackId);
      const known = agents.get(targetStackId);
      if (known?.material === material && known.authority === authority) return known.connection;
      // Requests that are under way end on the connections they have, unless those were made to an authority of before.
      if (known?.authority === authority) retire(known);
      else if (known !== undefined) void cutOff(known);
      const options = { ...clientTls(targetStackId), timeout: CONNECT_TIMEOUT_MS, maxCachedSessions: 0 };
      const sockets = new Set<Socket>();
      const connect = connectorInto(sockets, options);
      const [dispatcher, streams] = [new Agent({ connect, connections: MOST_CONNECTIONS }), new Agent({ connect })];
      const connection = { dispatcher, streams, accepts: probeOf(options), assertions: createPeerAssertions(ownStackId, material) };
      agents.set(targetStackId, { material, authority, connection, agents: [dispatcher, streams], sockets });
      return connection;
    },
    clientTls,
    server: tlsSource(server, serverTlsOf),
    authorities: () => authoritiesIn(server.current()),
    async close() {
      server.close();
      client.close();
      await Promise.all([...retired, ...agents.values()].map(cutOff));
      agents.clear();
    },
  };
}

/** What leads to one peer, under one certificate of this node and one authority of the peer. */
interface Agents {
  readonly material: TlsMaterial;
  readonly authority: string | null;
  readonly connection: PeerConnection;
  readonly agents: readonly Agent[];
  /** An agent that was closed lets go of streams that are under way, and could not end them any more. */
  readonly sockets: ReadonlySet<Socket>;
}

async function cutOff({ agents, sockets }: Agents): Promise<void> {
  await Promise.all(agents.map((agent) => agent.destroy().catch(() => undefined)));
  for (const socket of sockets) socket.destroy();
}

function connectorInto(sockets: Set<Socket>, options: ConnectionOptions & { readonly timeout: number; readonly maxCachedSessions: number }): buildConnector.connector {
  const connect = buildConnector(options as buildConnector.BuildOptions);
  return (to, callback) => connect(to, (...outcome) => {
    const [error, socket] = outcome;
    if (error === null) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
    callback(...outcome);
  });
}

/** Requests that fail together ask once. */
function probeOf(connect: ConnectionOptions & { readonly timeout: number }): PeerConnection['accepts'] {
  const asked = new Map<string, Promise<boolean | null>>();
  const ask = async (origin: string): Promise<boolean | null> => {
    const agent = new Agent({ connect });
    try {
      const { body } = await agent.request({ origin, path: '/v1/federation/health', method: 'GET', signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
      await body.dump();
      return true;
    } catch (error) {
      return isClosedWithoutAWord(error) ? false : null;
    } finally {
      await agent.destroy();
    }
  };
  return (origin) => {
    const under = asked.get(origin) ?? ask(origin).finally(() => asked.delete(origin));
    asked.set(origin, under);
    return under;
  };
}

const parsed = new WeakMap<TlsMaterial, readonly X509Certificate[]>();

function authoritiesIn(material: TlsMaterial): readonly X509Certificate[] {
  let known = parsed.get(material);
  if (known === undefined) parsed.set(material, (known = certificatesOf(material.ca!)));
  return known;
}

/**
 * Sessions are not resumed: a handshake that is left out is one in which a certificate was not looked at, and which
 * authority counts may have changed in between.
 */
function serverTlsOf({ cert, key, ca }: TlsMaterial): TlsOptions {
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET };
}

/** A host that has the right name and belongs to another node of the same authority is not the one that was meant. */
function clientTlsOf({ cert, key, ca }: TlsMaterial, targetStackId: string, node: TrustingNode): ConnectionOptions {
  return {
    cert, key, ca, minVersion: 'TLSv1.3',
    checkServerIdentity(host: string, certificate: TlsPeerCertificate) {
      const wrongHost = checkServerIdentity(host, certificate);
      if (wrongHost !== undefined) return wrongHost;
      const found = stackIdIn(certificate.subjectaltname);
      if (found !== targetStackId) return refused(`The certificate of ${host} is that of ${found ?? 'no stack'}, and ${targetStackId} was called.`);
      const authority = node.authorityOf(targetStackId);
      if (authority === null || leadsTo(authority, new X509Certificate(certificate.raw), [...certificatesOf(ca!), ...sentWith(certificate)])) return undefined;
      return refused(`The certificate of ${host} is not of the authority that the peers file binds ${targetStackId} to.`);
    },
  };
}

const refused = (message: string): Error => Object.assign(new Error(message), { code: REFUSED_HERE });

/** @throws ConfigError for a certificate that every peer would refuse. */
function requireOwn({ variable, path }: NamedFile, { cert }: TlsMaterial, ownStackId: string, log: Logger): void {
  const certificate = new X509Certificate(cert);
  const found = stackIdOf(certificate);
  if (found !== ownStackId) {
    throw new ConfigError(variable, `${variable} names ${path}, whose certificate ${found === null ? 'names no stack' : `is that of ${found}`}, and this node is ${ownStackId}. It needs the subject alternative name URI:${stackUri(ownStackId)}, once.`);
  }
  if (algorithmsOf(certificate.publicKey).length === 0) throw new ConfigError(variable, `${variable} names ${path}, which ${unusableKey(certificate.publicKey)}.`);
  const left = Date.parse(certificate.validTo) - Date.now();
  if (left < EXPIRES_SOON_MS) log.warn({ file: path, valid_to: certificate.validTo }, left < 0 ? 'The certificate for peers has expired: none of them will speak to this node.' : 'The certificate for peers expires soon.');
}

const listed = (names: readonly string[]): string => `${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'}`;
