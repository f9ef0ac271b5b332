/**
 * ToolRegistryPort: the tools that a tenant brings along: webhooks, and MCP servers with what they said they have.
 * Secrets arrive here sealed (`platform/secrets`) and leave as they came. A tenant has at most `MAX_WEBHOOK_TOOLS`
 * and `MAX_MCP_SERVERS`, so that all of it can be read at once.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export const MAX_WEBHOOK_TOOLS = 200;
export const MAX_MCP_SERVERS = 32;

type JsonSchema = Readonly<Record<string, unknown>>;

export interface WebhookTool {
  /** e.g. `tool.weather`. */
  readonly toolId: string;
  /** For people. */
  readonly title: string;
  readonly description: string;
  readonly inputSchema: JsonSchema;
  readonly outputSchema: JsonSchema | null;
  readonly sideEffects: boolean;
  /** Of one attempt. */
  readonly timeoutMs: number;
  /** Requests in all; 1 means no retry. */
  readonly attempts: number;
  /** null: only what holds for all tools of the tenant. */
  readonly rateLimitPerMinute: number | null;
  readonly url: string;
}

export interface WebhookToolRecord extends WebhookTool {
  readonly sealedSecret: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type McpTransport = { readonly type: 'streamable_http'; readonly url: string } | { readonly type: 'stdio'; readonly commandId: string };

export interface McpServer {
  readonly serverId: string;
  readonly transport: McpTransport;
  /** Names as the server has them; null allows all. */
  readonly toolsAllowed: readonly string[] | null;
  readonly timeoutMs: number;
  readonly enabled: boolean;
}

/** One tool of an MCP server, as the server describes it. */
export interface McpTool {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: JsonSchema;
  readonly outputSchema: JsonSchema | null;
  readonly sideEffects: boolean;
}

export interface McpServerStatus {
  readonly state: 'connected' | 'unreachable' | 'unknown';
  readonly error: string | null;
  readonly checkedAt: string | null;
}

export interface McpServerRecord extends McpServer {
  /** Request headers as JSON, sealed; null when there are none. */
  readonly sealedHeaders: string | null;
  /** What the server said last; kept while it is unreachable. */
  readonly tools: readonly McpTool[];
  readonly status: McpServerStatus;
  readonly createdAt: string;
  /** Changes when the definition does, not with the status. */
  readonly updatedAt: string;
}

export interface ToolRegistrations {
  /** In order of their ids. */
  readonly tools: readonly WebhookToolRecord[];
  readonly servers: readonly McpServerRecord[];
}

export interface CallRate {
  /** What is counted: a tool id, or `*` for all calls of the tenant. */
  readonly bucket: string;
  /** Above 0; a minute's worth may come at once. */
  readonly perMinute: number;
}

export type CallVerdict = { readonly allowed: true } | { readonly allowed: false; readonly bucket: string; readonly retryAfterMs: number };

export interface ToolRegistryPort {
  capabilities(): PortCapabilities;
  /** Everything that the tenant has registered. */
  load(auth: AuthContext): Promise<ToolRegistrations>;
  /** @throws AgentOsError conflict (`tool_exists`, `too_many_tools`). */
  createTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string): Promise<WebhookToolRecord>;
  /** null keeps the secret. @throws AgentOsError not_found. */
  replaceTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string | null): Promise<WebhookToolRecord>;
  /** @throws AgentOsError not_found. */
  deleteTool(auth: AuthContext, toolId: string): Promise<void>;
  /** @throws AgentOsError conflict (`mcp_server_exists`, `too_many_mcp_servers`). */
  createServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null): Promise<McpServerRecord>;
  /** Absent headers (undefined) stay, null removes them. What the server had is forgotten. @throws AgentOsError not_found. */
  replaceServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null | undefined): Promise<McpServerRecord>;
  /** @throws AgentOsError not_found. */
  deleteServer(auth: AuthContext, serverId: string): Promise<void>;
  /**
   * What was seen of the server just now; `tools: null` leaves those that were known. Nothing happens when its
   * definition has changed since `updatedAt`, because then something else was seen.
   */
  recordServer(auth: AuthContext, server: Pick<McpServerRecord, 'serverId' | 'updatedAt'>, seen: { readonly tools: readonly McpTool[] | null; readonly state: 'connected' | 'unreachable'; readonly error: string | null }): Promise<void>;
  /** Counts one call against every rate, or against none when one of them is used up. Exact over any number of processes. */
  takeCall(auth: AuthContext, rates: readonly CallRate[]): Promise<CallVerdict>;
}
