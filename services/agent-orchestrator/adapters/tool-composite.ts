/**
 * All tools of a tenant, whoever provides them: those of the node, its webhooks, its MCP servers. The id says where a
 * call goes. Before it goes, it is counted: against the limit of the tool, and of the tenant over all its tools.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ToolDescriptor, ToolInvocation, ToolPort } from '../ports/tool.ts';
import type { CallRate } from '../ports/tool-registry.ts';
import type { BuiltinTools } from './tool-builtin.ts';
import { MCP_PREFIX } from './tool-mcp.ts';
import type { TenantTools } from './tools/tenant-tools.ts';
import { distinctNames } from './tools/tool-names.ts';

export interface CompositeToolsOptions {
  readonly builtin: BuiltinTools;
  readonly webhook: ToolPort;
  readonly mcp: ToolPort;
  readonly tenantTools: TenantTools;
  /** Over all tools of the tenant; null: not limited. */
  readonly callsPerMinute: (auth: AuthContext) => Promise<number | null>;
}

/** The bucket that all calls of a tenant fall into. */
const ALL_CALLS = '*';

export class CompositeTools implements ToolPort {
  readonly #options: CompositeToolsOptions;

  constructor(options: CompositeToolsOptions) {
    this.#options = options;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'composite', contractVersion: '1.0', durable: false, features: [] };
  }

  async list(auth: AuthContext, wanted?: readonly string[]): Promise<readonly ToolDescriptor[]> {
    const { builtin, webhook, mcp } = this.#options;
    // Most agents use what every node has; they cost no look at what their tenant registered.
    if (wanted !== undefined && wanted.every((toolId) => builtin.has(toolId))) return builtin.list(auth);
    const lists = await Promise.all([builtin.list(auth), webhook.list(auth), mcp.list(auth, wanted)]);
    return distinctNames(lists.flat());
  }

  async invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown> {
    const { toolId } = invocation;
    const { builtin, webhook, mcp } = this.#options;
    const port = builtin.has(toolId) ? builtin : toolId.startsWith(MCP_PREFIX) ? mcp : webhook;
    await this.#count(auth, toolId, port === webhook);
    return port.invoke(auth, invocation);
  }

  async #count(auth: AuthContext, toolId: string, registered: boolean): Promise<void> {
    const { callsPerMinute, tenantTools } = this.#options;
    const [ofTenant, tool] = await Promise.all([callsPerMinute(auth), registered ? tenantTools.get(auth).then(({ tools }) => tools.find((one) => one.toolId === toolId)) : undefined]);
    const rates: CallRate[] = [];
    if (ofTenant !== null) rates.push({ bucket: ALL_CALLS, perMinute: ofTenant });
    if (tool !== undefined && tool.rateLimitPerMinute !== null) rates.push({ bucket: toolId, perMinute: tool.rateLimitPerMinute });
    if (rates.length === 0) return;
    if (ofTenant === 0) throw tooMany(toolId, ALL_CALLS, 0, 60_000);
    const verdict = await tenantTools.registry.takeCall(auth, rates);
    if (!verdict.allowed) throw tooMany(toolId, verdict.bucket, rates.find(({ bucket }) => bucket === verdict.bucket)!.perMinute, verdict.retryAfterMs);
  }
}

function tooMany(toolId: string, bucket: string, perMinute: number, retryAfterMs: number): AgentOsError {
  const what = bucket === ALL_CALLS ? 'tools of this tenant' : toolId;
  return new AgentOsError('rate_limited', {
    message: `${what} may be called ${perMinute} times a minute; the next call may be made in ${Math.ceil(retryAfterMs / 1000)} s.`,
    details: { tool_id: toolId, reason: bucket === ALL_CALLS ? 'tenant_tool_calls' : 'tool_calls', limit_per_minute: perMinute, retry_after_ms: retryAfterMs },
    retryAfterSeconds: retryAfterMs / 1000,
  });
}
