/**
 * Another node, as a stranger would build one: mutual TLS and a signed assertion, made by hand so that every part of it
 * can be wrong. It shares no code with the services.
 */
import { createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { request } from 'node:https';
import { SignJWT, type JWTPayload } from 'jose';
import { ulid } from 'ulid';
import type { CertificateAndKey } from './certificate.ts';
import type { Json } from './client.ts';

export interface PeerTarget {
  readonly stackId: string;
  /** Of its listener for peers. */
  readonly url: string;
  /** PEM. */
  readonly authority: string;
}

export interface PeerCaller {
  readonly stackId: string;
  readonly certificate: CertificateAndKey;
}

export interface PeerAsk {
  readonly method?: string;
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly auth?: Json;
  /** In place of the assertion's own; undefined takes one away. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly signedBy?: KeyObject;
  /** In place of the assertion; null sends none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Presented in the handshake; null: none. */
  readonly presents?: CertificateAndKey | null;
  /** Bytes that are sent in place of the body that the assertion was made for. */
  readonly sends?: string | Uint8Array;
}

export type PeerAnswer =
  | { readonly status: number; readonly body: Json; readonly headers: Readonly<Record<string, string | string[] | undefined>> }
  /** Nothing was answered: how the connection ended. */
  | { readonly failed: string };

export const CALLER = { tenant_id: 'tnt_demo', principal: { principal_id: 'usr_of_a', principal_type: 'user' }, scopes: ['runs:forward', 'runs:create', 'runs:read', 'runs:cancel', 'events:stream'], roles: ['tenant_user'] };

export async function assertionFor(target: PeerTarget, caller: PeerCaller, ask: PeerAsk): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const auth = ask.auth ?? CALLER;
  const body = bytesOf(ask);
  const payload = {
    iss: caller.stackId, aud: target.stackId, sub: auth.principal?.principal_id, iat: now, exp: now + 30, jti: `jti_${ulid()}`,
    htm: methodOf(ask), htu: `${target.url}${ask.path}`, auth, via: [caller.stackId],
    ...(body === null ? {} : { digest: createHash('sha256').update(body).digest('base64url') }), ...ask.claims,
  };
  const thumbprint = createHash('sha256').update(new X509Certificate(caller.certificate.cert).raw).digest('base64url');
  return new SignJWT(payload as JWTPayload).setProtectedHeader({ alg: 'ES256', typ: 'agentos-peer+jwt', 'x5t#S256': thumbprint, ...ask.header } as never).sign(ask.signedBy ?? createPrivateKey(caller.certificate.key));
}

export async function askAsPeer(target: PeerTarget, caller: PeerCaller, ask: PeerAsk): Promise<PeerAnswer> {
  const token = ask.token === undefined ? await assertionFor(target, caller, ask) : ask.token;
  const presents = ask.presents === undefined ? caller.certificate : ask.presents;
  const body = ask.sends ?? bytesOf(ask);
  return new Promise((resolve) => {
    const asked = request(`${target.url}${ask.path}`, {
      method: methodOf(ask), agent: false, ca: target.authority, ...(presents ?? {}), signal: AbortSignal.timeout(20_000),
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
        ...ask.headers,
      },
    }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: answer.statusCode!, headers: answer.headers, body: answer.headers['content-type']?.startsWith('application/json') === true ? (JSON.parse(text) as Json) : text });
      });
      answer.on('error', (error: NodeJS.ErrnoException) => resolve({ failed: error.code ?? error.message }));
    });
    asked.on('error', (error: NodeJS.ErrnoException) => resolve({ failed: error.code ?? error.message }));
    asked.end(body ?? undefined);
  });
}

const methodOf = ({ method, body }: PeerAsk): string => method ?? (body === undefined ? 'GET' : 'POST');
const bytesOf = ({ body }: PeerAsk): string | null => (body === undefined ? null : JSON.stringify(body));
