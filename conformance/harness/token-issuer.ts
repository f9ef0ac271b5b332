/** A token issuer over real HTTP: its discovery document, its keys, their rotation, its absence. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose';

export interface IssuerKeyPair {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export type ChangeToken = (jwt: SignJWT) => SignJWT;

export class TokenIssuer {
  /** `http://127.0.0.1:<port>`: the issuer's name, under which its discovery document stands. */
  url = '';
  /** Answered requests, by path. */
  readonly asked: Record<string, number> = {};
  /** Answer 500 to everything. */
  away = false;
  /** Put in place of, or beside, what the discovery document says. */
  discovery: Record<string, unknown> = {};
  /** Published keys. */
  published: IssuerKeyPair[] = [];
  readonly #server: Server;
  readonly #algorithm: 'ES256' | 'RS256';

  constructor(algorithm: 'ES256' | 'RS256' = 'ES256') {
    this.#algorithm = algorithm;
    this.#server = createServer((request, response) => {
      const path = request.url ?? '';
      this.asked[path] = (this.asked[path] ?? 0) + 1;
      response.setHeader('content-type', 'application/json');
      if (this.away) response.writeHead(500).end('{}');
      else if (path === '/.well-known/openid-configuration') response.end(JSON.stringify({ issuer: this.url, jwks_uri: this.jwksUri, ...this.discovery }));
      else if (path === '/keys') response.end(JSON.stringify({ keys: this.published.map((key) => key.jwk) }));
      else response.writeHead(404).end('{}');
    });
  }

  get jwksUri(): string {
    return `${this.url}/keys`;
  }

  /** @param port of an issuer that comes back where it was */
  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    if (this.published.length === 0) this.published = [await this.newKey('first')];
    return this;
  }

  async newKey(kid: string): Promise<IssuerKeyPair> {
    const { publicKey, privateKey } = await generateKeyPair(this.#algorithm, { extractable: true });
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: this.#algorithm, use: 'sig' } };
  }

  /** A token of this issuer for tnt_demo, for five minutes, with `claims` on top; undefined leaves a claim out. */
  token(claims: Readonly<Record<string, unknown>> = {}, options: { readonly key?: IssuerKeyPair; readonly header?: Readonly<Record<string, unknown>>; readonly change?: ChangeToken } = {}): Promise<string> {
    const key = options.key ?? this.published[0]!;
    const jwt = new SignJWT({ tenant_id: 'tnt_demo', scope: 'runs:read', ...claims })
      .setProtectedHeader({ alg: this.#algorithm, kid: key.kid, ...options.header })
      .setIssuer(this.url).setAudience('agentos').setSubject('usr_ann').setIssuedAt().setExpirationTime('5m');
    return (options.change ?? ((same) => same))(jwt).sign(key.privateKey);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
