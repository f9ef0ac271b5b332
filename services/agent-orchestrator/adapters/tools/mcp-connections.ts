/**
 * Connections to MCP servers, kept for the next call: opening one takes a handshake or a new process. A connection
 * serves one tenant alone. Their number is bounded for the node and for each tenant; one that nobody uses for a minute
 * is closed.
 */
import { AgentOsError } from '../../../platform/errors.ts';
import { McpClient, type McpCallOptions, type McpClientOptions } from './mcp-client.ts';
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import type { McpServerRecord } from '../../ports/tool-registry.ts';

export interface McpConnectionsOptions extends McpClientOptions {
  /** The server's request headers, opened. */
  readonly headersOf: (tenantId: string, server: McpServerRecord) => Readonly<Record<string, string>>;
  /** The server says that its tools are others now. */
  readonly onToolsChanged: (auth: AuthContext, server: McpServerRecord) => void;
  readonly maxConnections?: number;
  readonly maxPerTenant?: number;
  readonly idleMs?: number;
}

interface Entry {
  readonly tenantId: string;
  readonly client: Promise<McpClient>;
  users: number;
  lastUsedMs: number;
}

export class McpConnections {
  readonly #options: Required<McpConnectionsOptions>;
  /** By tenant, server and its definition's time; the one used longest ago first. */
  readonly #entries = new Map<string, Entry>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: McpConnectionsOptions) {
    this.#options = { maxConnections: 64, maxPerTenant: 8, idleMs: 60_000, ...options };
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Runs `body` on a connection. A connection that turns out to be dead before the server can have read anything (its
   * session is gone) is opened anew, once. @throws AgentOsError as McpClient.
   */
  async use<T>(auth: AuthContext, server: McpServerRecord, call: McpCallOptions, body: (client: McpClient) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const reused = this.#entries.has(keyOf(auth.tenant_id, server));
      try {
        return await this.#useOnce(auth, server, call, body);
      } catch (error) {
        const sessionGone = error instanceof AgentOsError && error.details['status'] === 404;
        if (!sessionGone || !reused || attempt > 1) throw error;
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => entry.client.then((client) => client.close(), () => undefined)));
  }

  async #useOnce<T>(auth: AuthContext, server: McpServerRecord, call: McpCallOptions, body: (client: McpClient) => Promise<T>): Promise<T> {
    const key = keyOf(auth.tenant_id, server);
    const entry = this.#entries.get(key) ?? this.#open(key, auth, server);
    entry.users += 1;
    try {
      const client = await abandonable(entry.client, call);
      try {
        return await body(client);
      } finally {
        if (client.closed) this.#drop(key, entry);
      }
    } finally {
      entry.users -= 1;
      entry.lastUsedMs = performance.now();
      // Behind all others: the oldest stand in front.
      if (this.#entries.get(key) === entry) {
        this.#entries.delete(key);
        this.#entries.set(key, entry);
      }
    }
  }

  #open(key: string, auth: AuthContext, server: McpServerRecord): Entry {
    const tenantId = auth.tenant_id;
    this.#makeRoom(tenantId);
    const { headersOf, onToolsChanged } = this.#options;
    const connect = async (): Promise<McpClient> =>
      // Others may wait for the same connection, so that no single caller's signal ends it.
      McpClient.connect(server, headersOf(tenantId, server), this.#options, { timeoutMs: Math.min(server.timeoutMs, 10_000), onToolsChanged: () => onToolsChanged(auth, server) });
    const entry: Entry = { tenantId, client: connect(), users: 0, lastUsedMs: performance.now() };
    this.#entries.set(key, entry);
    entry.client.catch(() => this.#drop(key, entry));
    this.#sweeper ??= setInterval(() => this.#sweep(), Math.min(5_000, this.#options.idleMs)).unref();
    return entry;
  }

  #makeRoom(tenantId: string): void {
    const { maxConnections, maxPerTenant } = this.#options;
    const ofTenant = [...this.#entries].filter(([, entry]) => entry.tenantId === tenantId);
    if (ofTenant.length >= maxPerTenant) this.#dropIdle(ofTenant, `This tenant uses ${maxPerTenant} MCP servers at once, which is all that it may.`);
    if (this.#entries.size >= maxConnections) this.#dropIdle([...this.#entries], `This node uses ${maxConnections} MCP servers at once, which is all that it may.`);
  }

  #dropIdle(entries: readonly (readonly [string, Entry])[], message: string): void {
    const idle = entries.find(([, entry]) => entry.users === 0);
    if (idle === undefined) throw new AgentOsError('dependency_unavailable', { message, details: { reason: 'too_many_mcp_connections' }, retryAfterSeconds: 1 });
    this.#drop(idle[0], idle[1]);
  }

  #drop(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    void entry.client.then((client) => client.close(), () => undefined);
  }

  #sweep(): void {
    const oldest = performance.now() - this.#options.idleMs;
    for (const [key, entry] of this.#entries) if (entry.users === 0 && entry.lastUsedMs <= oldest) this.#drop(key, entry);
    if (this.#entries.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

const keyOf = (tenantId: string, server: McpServerRecord): string => JSON.stringify([tenantId, server.serverId, server.updatedAt]);

/** What is awaited goes on for the others; this caller stops waiting. */
async function abandonable<T>(promise: Promise<T>, { signal }: McpCallOptions): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = promiseWithReject();
  const onAbort = (): void => reject(new AgentOsError('timeout', { message: 'The call was abandoned.', details: { reason: 'aborted' }, cause: signal.reason }));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function promiseWithReject(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_, refuse) => {
    reject = refuse;
  });
  promise.catch(() => undefined);
  return { promise, reject };
}
