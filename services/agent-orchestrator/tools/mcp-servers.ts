/** The MCP servers of a tenant: the rules by which they are registered, and the credentials that go to nobody but them. */
import type { EgressPolicy } from '../../platform/egress/egress-policy.ts';
import { RESERVED_HEADERS } from '../../platform/egress/egress-client.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { SecretBox } from '../../platform/secrets/secret-box.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { McpServer, McpServerRecord, ToolRegistryPort } from '../ports/tool-registry.ts';
import { misfit } from './tool-catalog.ts';

export type Headers = Readonly<Record<string, string>>;

export interface McpServerInput extends McpServer {
  /** Absent at creation: none. Absent in a replacement: those that are stored, as long as they go to the same origin. */
  readonly headers?: Headers;
}

export interface McpServerView {
  readonly server: McpServerRecord;
  readonly headerNames: readonly string[];
  /** Ids of the tools that may be used. */
  readonly toolIds: readonly string[];
}

export interface McpServers {
  list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly servers: readonly McpServerView[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError not_found. */
  get(auth: AuthContext, serverId: string): Promise<McpServerView>;
  /** @throws AgentOsError invalid_request (URL, header), conflict (id, unknown command). */
  create(auth: AuthContext, input: McpServerInput): Promise<McpServerView>;
  /** @throws AgentOsError invalid_request, not_found, conflict (unknown command). */
  replace(auth: AuthContext, input: McpServerInput): Promise<McpServerView>;
  /** @throws AgentOsError not_found. */
  delete(auth: AuthContext, serverId: string): Promise<void>;
  /** Asks the server what it has; a server that does not answer is a state. @throws AgentOsError not_found. */
  refresh(auth: AuthContext, serverId: string): Promise<McpServerView>;
}

export interface McpServersDependencies {
  readonly registry: ToolRegistryPort;
  readonly secrets: SecretBox;
  readonly egressPolicy: Pick<EgressPolicy, 'checkUrl'>;
  /** Ids of AGENTOS_MCP_COMMANDS. */
  readonly hasCommand: (commandId: string) => boolean;
  readonly toolIdsOf: (server: McpServerRecord) => readonly string[];
  readonly refresh: (auth: AuthContext, server: McpServerRecord) => Promise<unknown>;
  readonly onChanged: (auth: AuthContext) => void;
}

/** Beside what belongs to the connection: what the protocol sets itself. */
const PROTOCOL_HEADERS = new Set(['accept', 'content-type', 'last-event-id', 'mcp-session-id', 'mcp-protocol-version']);

/** The origin belongs to it: what was sealed for one host does not open for another, whoever rewrites the row. */
const placeOf = (tenantId: string, server: McpServer): readonly string[] => [tenantId, 'mcp-server', server.serverId, originOf(server)];

export function sealHeaders(secrets: SecretBox, tenantId: string, server: McpServer, headers: Headers): string | null {
  return Object.keys(headers).length === 0 ? null : secrets.seal(JSON.stringify(headers), placeOf(tenantId, server));
}

/** @throws AgentOsError dependency_unavailable when they cannot be read. */
export function openHeaders(secrets: SecretBox, tenantId: string, server: McpServer & Pick<McpServerRecord, 'sealedHeaders'>): Headers {
  return server.sealedHeaders === null ? {} : (JSON.parse(secrets.open(server.sealedHeaders, placeOf(tenantId, server))) as Headers);
}

export function createMcpServers(dependencies: McpServersDependencies): McpServers {
  const { registry, secrets, onChanged } = dependencies;
  const sealed = (auth: AuthContext, server: McpServer, headers: Headers): string | null => sealHeaders(secrets, auth.tenant_id, server, headers);

  async function find(auth: AuthContext, serverId: string): Promise<McpServerRecord> {
    const server = (await registry.load(auth)).servers.find((one) => one.serverId === serverId);
    if (server === undefined) throw new AgentOsError('not_found', { message: `There is no MCP server ${serverId}.`, details: { server_id: serverId } });
    return server;
  }

  const viewOf = (auth: AuthContext, server: McpServerRecord): McpServerView => ({ server, headerNames: headerNames(auth, server), toolIds: dependencies.toolIdsOf(server) });

  /** Headers that cannot be opened any more must not keep the server from being shown, replaced or deleted. */
  function headerNames(auth: AuthContext, server: McpServerRecord): readonly string[] {
    try {
      return Object.keys(openHeaders(secrets, auth.tenant_id, server)).sort();
    } catch {
      return [];
    }
  }

  return {
    async list(auth, { limit, after = '' }) {
      const found = (await registry.load(auth)).servers.filter(({ serverId }) => serverId > after);
      return { servers: found.slice(0, limit).map((server) => viewOf(auth, server)), hasMore: found.length > limit };
    },
    async get(auth, serverId) {
      return viewOf(auth, await find(auth, serverId));
    },
    async create(auth, input) {
      check(dependencies, input);
      const { headers = {}, ...server } = input;
      const record = await registry.createServer(auth, server, sealed(auth, server, headers));
      onChanged(auth);
      return viewOf(auth, record);
    },
    async replace(auth, input) {
      check(dependencies, input);
      const { headers, ...server } = input;
      const known = await find(auth, server.serverId);
      if (headers === undefined && known.sealedHeaders !== null && originOf(known) !== originOf(server)) {
        // Whoever may write the URL could otherwise have credentials sent to himself that nobody may read.
        throw misfit('/transport/headers', 'The server moves to another origin, and stored headers do not move with it: give them anew, or {} for none.');
      }
      const record = await registry.replaceServer(auth, server, headers === undefined ? undefined : sealed(auth, server, headers));
      onChanged(auth);
      return viewOf(auth, record);
    },
    async delete(auth, serverId) {
      await registry.deleteServer(auth, serverId);
      onChanged(auth);
    },
    async refresh(auth, serverId) {
      await dependencies.refresh(auth, await find(auth, serverId));
      return viewOf(auth, await find(auth, serverId));
    },
  };
}

function check({ hasCommand, egressPolicy }: McpServersDependencies, { transport, headers = {} }: McpServerInput): void {
  if (transport.type === 'stdio') {
    if (hasCommand(transport.commandId)) return;
    throw new AgentOsError('conflict', { message: `This node has no MCP command '${transport.commandId}'; its operator lists them in AGENTOS_MCP_COMMANDS.`, details: { reason: 'unknown_command', command_id: transport.commandId } });
  }
  try {
    egressPolicy.checkUrl(transport.url);
  } catch (error) {
    throw misfit('/transport/url', (error as Error).message);
  }
  const taken = Object.keys(headers).find((name) => RESERVED_HEADERS.has(name.toLowerCase()) || PROTOCOL_HEADERS.has(name.toLowerCase()));
  if (taken !== undefined) throw misfit(`/transport/headers/${taken}`, 'This header is set by the connection itself.');
}

const originOf = ({ transport }: McpServer): string => (transport.type === 'streamable_http' ? new URL(transport.url).origin : 'stdio');
