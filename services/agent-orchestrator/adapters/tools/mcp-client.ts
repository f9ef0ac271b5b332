/** One connection to one MCP server: the official SDK's client, its transports under this node's rules, its errors as ours. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { Logger } from 'pino';
import { SERVICE_VERSION } from '../../../platform/build-info.ts';
import type { EgressClient } from '../../../platform/egress/egress-client.ts';
import { egressFetch } from '../../../platform/egress/egress-fetch.ts';
import { AgentOsError } from '../../../platform/errors.ts';
import type { McpServer, McpTool } from '../../ports/tool-registry.ts';
import type { McpCommands } from './mcp-commands.ts';

/** The largest answer, and the largest message of a program. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const MAX_TOOLS = 256;
const MAX_PAGES = 16;
const TOOL_NAME = /^[A-Za-z0-9_./-]{1,128}$/;

export interface McpClientOptions {
  readonly egress: EgressClient;
  readonly commands: McpCommands;
  readonly log: Logger;
}

export interface McpCallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Loaded with the first server: most nodes have none. */
const loadSdk = async () => {
  const [{ Client: SdkClient }, { StreamableHTTPClientTransport, StreamableHTTPError }, { StdioClientTransport }, types] = await Promise.all([
    import('@modelcontextprotocol/sdk/client/index.js'), import('@modelcontextprotocol/sdk/client/streamableHttp.js'), import('@modelcontextprotocol/sdk/client/stdio.js'), import('@modelcontextprotocol/sdk/types.js'),
  ]);
  return { SdkClient, StreamableHTTPClientTransport, StreamableHTTPError, StdioClientTransport, types };
};
type Sdk = Awaited<ReturnType<typeof loadSdk>>;

export class McpClient {
  readonly #sdk: Sdk;
  readonly #client: Client;
  readonly #serverId: string;
  /** Set when the connection is of no more use. */
  closed = false;

  private constructor(sdk: Sdk, client: Client, serverId: string) {
    this.#sdk = sdk;
    this.#client = client;
    this.#serverId = serverId;
  }

  /** @throws AgentOsError dependency_unavailable, timeout, forbidden (egress). */
  static async connect(server: McpServer, headers: Readonly<Record<string, string>>, options: McpClientOptions, call: McpCallOptions & { readonly onToolsChanged: () => void }): Promise<McpClient> {
    const sdk = await loadSdk();
    const client = new sdk.SdkClient({ name: 'agentos', version: SERVICE_VERSION }, { capabilities: {} });
    const connection = new McpClient(sdk, client, server.serverId);
    client.onclose = () => {
      connection.closed = true;
    };
    client.setNotificationHandler(sdk.types.ToolListChangedNotificationSchema, () => call.onToolsChanged());
    try {
      await client.connect(transportOf(sdk, server, headers, options), { timeout: call.timeoutMs, ...(call.signal === undefined ? {} : { signal: call.signal }) });
      return connection;
    } catch (error) {
      await connection.close();
      throw connection.#asAgentOsError(error, call.timeoutMs);
    }
  }

  /** All pages; tools whose names no tool id can hold are left out. */
  async listTools(call: McpCallOptions): Promise<readonly McpTool[]> {
    const tools: McpTool[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES && tools.length < MAX_TOOLS; page += 1) {
      const params = cursor === undefined ? {} : { cursor };
      const answer = await this.#request(() => this.#client.request({ method: 'tools/list', params }, this.#sdk.types.ListToolsResultSchema, this.#optionsOf(call)), call);
      for (const tool of answer.tools) {
        if (!TOOL_NAME.test(tool.name)) continue;
        tools.push({
          name: tool.name, description: (tool.description ?? tool.title ?? tool.name).slice(0, 8_192), inputSchema: tool.inputSchema, outputSchema: tool.outputSchema ?? null,
          sideEffects: tool.annotations?.readOnlyHint !== true,
        });
      }
      cursor = answer.nextCursor;
      if (cursor === undefined) break;
    }
    return tools.slice(0, MAX_TOOLS);
  }

  /** `meta` goes along as `_meta`. */
  callTool(name: string, input: unknown, meta: Readonly<Record<string, unknown>>, call: McpCallOptions): Promise<CallToolResult> {
    const params = { name, arguments: input as Record<string, unknown>, _meta: meta };
    return this.#request(() => this.#client.request({ method: 'tools/call', params }, this.#sdk.types.CallToolResultSchema, this.#optionsOf(call)), call);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.#client.close().catch(() => undefined);
  }

  #optionsOf({ timeoutMs, signal }: McpCallOptions) {
    return { timeout: timeoutMs, ...(signal === undefined ? {} : { signal }) };
  }

  async #request<T>(send: () => Promise<T>, call: McpCallOptions): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw this.#asAgentOsError(error, call.timeoutMs);
    }
  }

  #asAgentOsError(error: unknown, timeoutMs: number): AgentOsError {
    const { McpError, ErrorCode } = this.#sdk.types;
    const details = { server_id: this.#serverId };
    if (error instanceof AgentOsError) return error;
    if (error instanceof McpError) {
      if (error.code === ErrorCode.RequestTimeout) return new AgentOsError('timeout', { message: `The MCP server ${this.#serverId} did not answer within ${timeoutMs} ms.`, details, cause: error });
      if (error.code !== ErrorCode.ConnectionClosed) return new AgentOsError('tool_failed', { message: `The MCP server ${this.#serverId} refused: ${error.message.slice(0, 1_000)}`, details: { ...details, mcp_code: error.code }, cause: error });
    }
    this.closed = true;
    const status = error instanceof this.#sdk.StreamableHTTPError ? error.code : undefined;
    const said = (error as Error).message?.slice(0, 300) ?? String(error);
    return new AgentOsError('dependency_unavailable', {
      message: `The MCP server ${this.#serverId} cannot be used: ${said}`,
      // Credentials do not become right by themselves.
      retryable: status !== 401 && status !== 403,
      details: { ...details, ...(status === undefined ? {} : { status }) },
      cause: error,
    });
  }
}

function transportOf(sdk: Sdk, server: McpServer, headers: Readonly<Record<string, string>>, { egress, commands, log }: McpClientOptions): Transport {
  const { transport, serverId } = server;
  if (transport.type === 'streamable_http') {
    const http = new sdk.StreamableHTTPClientTransport(egress.policy.checkUrl(transport.url), { fetch: egressFetch(egress, { maxResponseBytes: MAX_MESSAGE_BYTES }), requestInit: { headers: { ...headers } } });
    // The SDK's own type does not hold under exactOptionalPropertyTypes.
    return http as Transport;
  }
  const command = commands.get(transport.commandId);
  if (command === undefined) {
    throw new AgentOsError('dependency_unavailable', { message: `This node has no MCP command '${transport.commandId}'; its operator lists them in AGENTOS_MCP_COMMANDS.`, retryable: false, details: { server_id: serverId, reason: 'unknown_command' } });
  }
  const stdio = new sdk.StdioClientTransport({ command: command.command, args: [...command.args], env: { ...command.env }, stderr: 'pipe', maxBufferSize: MAX_MESSAGE_BYTES });
  stdio.stderr?.on('data', (chunk: Buffer) => log.debug({ command_id: transport.commandId, server_id: serverId }, chunk.toString('utf8').slice(0, 2_000).trimEnd()));
  return stdio;
}
