/**
 * What of HashiCorp Vault's HTTP API is needed here, on the wire as Vault writes it: the key-value engine's version 2,
 * logging in by AppRole and by Kubernetes, looking up and renewing tokens, namespaces, and its ways of saying no.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** `silent` takes the request and never answers; `limited-once` says 429 to the next request alone. */
export type VaultFault = 'forbidden' | 'sealed' | 'rate-limited' | 'limited-once' | 'garbage' | 'silent' | 'fails-once' | null;

export interface VaultStub {
  readonly url: string;
  /** The root of all tokens here. */
  readonly token: string;
  /** VAULT_ADDR and VAULT_TOKEN. */
  readonly env: Readonly<Record<string, string>>;
  /** `METHOD path`, in the order they came. */
  readonly requests: readonly string[];
  /** Requests for this path so far. */
  reads(path: string): number;
  put(mount: string, path: string, fields: Readonly<Record<string, unknown>>): void;
  /** Deletes the newest version, as `vault kv delete` does. */
  remove(mount: string, path: string): void;
  forbid(mount: string, path: string): void;
  fault(kind: VaultFault): void;
  /** Requires this namespace of every request. */
  requireNamespace(namespace: string): void;
  /** Lets an AppRole log in; its tokens live this long. */
  role(roleId: string, secretId: string, options?: { readonly leaseSeconds?: number; readonly renewable?: boolean }): void;
  kubernetesRole(role: string, jwt: string): void;
  /** Every token that logging in gave is void from now on. */
  revokeAll(): void;
  readonly logins: number;
  readonly renewals: number;
  close(): Promise<void>;
}

interface Version {
  readonly fields: Readonly<Record<string, unknown>> | null;
  readonly version: number;
}

interface Lease {
  readonly leaseSeconds: number;
  readonly renewable: boolean;
}

type Answer = readonly [status: number, body: unknown];

/** What Vault knows, and how it answers whoever may ask. */
class VaultState {
  readonly token = `hvs.${randomBytes(12).toString('hex')}`;
  readonly secrets = new Map<string, Version>();
  readonly forbidden = new Set<string>();
  readonly roles = new Map<string, Lease & { readonly secretId: string }>();
  readonly jwts = new Map<string, string>();
  readonly issued = new Set<string>();
  fault: VaultFault = null;
  namespace: string | null = null;
  logins = 0;
  renewals = 0;
  #lease: Lease = { leaseSeconds: 3_600, renewable: true };

  answer(request: IncomingMessage, path: string, body: Readonly<Record<string, unknown>>): Answer {
    if (this.namespace !== null && request.headers['x-vault-namespace'] !== this.namespace) return [403, { errors: ['permission denied'] }];
    if (path.endsWith('/login')) return this.#login(body);
    const presented = String(request.headers['x-vault-token'] ?? '');
    if (presented !== this.token && !this.issued.has(presented)) return [403, { errors: ['permission denied'] }];
    if (path === 'auth/token/lookup-self') return [200, { data: { ttl: presented === this.token ? 0 : this.#lease.leaseSeconds, renewable: presented !== this.token } }];
    if (path !== 'auth/token/renew-self') return this.#read(path);
    this.renewals += 1;
    return [200, { auth: { client_token: presented, lease_duration: this.#lease.leaseSeconds, renewable: this.#lease.renewable } }];
  }

  #login(body: Readonly<Record<string, unknown>>): Answer {
    if (typeof body['role_id'] !== 'string') return this.jwts.get(String(body['role'])) === body['jwt'] ? this.#issue({ leaseSeconds: 3_600, renewable: true }) : [403, { errors: ['permission denied'] }];
    const role = this.roles.get(body['role_id']);
    return role === undefined || role.secretId !== body['secret_id'] ? [400, { errors: ['invalid role or secret ID'] }] : this.#issue(role);
  }

  #issue(lease: Lease): Answer {
    const made = `hvs.${randomBytes(12).toString('hex')}`;
    this.issued.add(made);
    this.logins += 1;
    this.#lease = lease;
    return [200, { auth: { client_token: made, accessor: 'a', policies: ['agentos'], lease_duration: lease.leaseSeconds, renewable: lease.renewable }, data: null }];
  }

  #read(path: string): Answer {
    const found = this.secrets.get(path);
    if (this.forbidden.has(path)) return [403, { errors: ['1 error occurred:\n\t* permission denied\n\n'] }];
    if (found === undefined) return [404, { errors: [] }];
    const metadata = { created_time: '2026-01-01T00:00:00Z', deletion_time: found.fields === null ? '2026-01-02T00:00:00Z' : '', destroyed: false, version: found.version };
    return [found.fields === null ? 404 : 200, { request_id: 'r', lease_id: '', renewable: false, lease_duration: 0, data: { data: found.fields, metadata }, warnings: null }];
  }
}

async function serve(state: VaultState, requests: string[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = decodeURIComponent((request.url ?? '').replace(/^\/v1\//, ''));
  requests.push(`${request.method} ${path}`);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const send = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const { fault } = state;
  if (fault === 'limited-once' || fault === 'fails-once') state.fault = null;
  if (fault === 'silent') return;
  if (fault === 'forbidden') return send(403, { errors: ['permission denied'] });
  if (fault === 'sealed') return send(503, { errors: ['Vault is sealed'] });
  if (fault === 'garbage') return send(200, '<html>a proxy says hello</html>');
  if (fault === 'fails-once') return send(500, { errors: ['internal error'] });
  if (fault === 'rate-limited' || fault === 'limited-once') return send(429, { errors: ['request path "secret/data": rate limit quota exceeded'] }, { 'retry-after': '0' });
  send(...state.answer(request, path, chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>)));
}

export async function startVault(): Promise<VaultStub> {
  const state = new VaultState();
  const requests: string[] = [];
  const server = createServer((request, response) => void serve(state, requests, request, response).catch(() => response.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { secrets, token } = state;
  return {
    url, token, requests,
    env: { VAULT_ADDR: url, VAULT_TOKEN: token },
    reads: (path) => requests.filter((each) => each === `GET ${path}`).length,
    put: (mount, path, fields) => void secrets.set(`${mount}/data/${path}`, { fields, version: (secrets.get(`${mount}/data/${path}`)?.version ?? 0) + 1 }),
    remove: (mount, path) => void secrets.set(`${mount}/data/${path}`, { fields: null, version: secrets.get(`${mount}/data/${path}`)?.version ?? 1 }),
    forbid: (mount, path) => void state.forbidden.add(`${mount}/data/${path}`),
    fault: (kind) => void (state.fault = kind),
    requireNamespace: (namespace) => void (state.namespace = namespace),
    role: (roleId, secretId, { leaseSeconds = 3_600, renewable = true } = {}) => void state.roles.set(roleId, { secretId, leaseSeconds, renewable }),
    kubernetesRole: (role, jwt) => void state.jwts.set(role, jwt),
    revokeAll: () => state.issued.clear(),
    get logins() { return state.logins; },
    get renewals() { return state.renewals; },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
