/**
 * The tools of a tenant as its people see them: those of the node, its webhooks, what its MCP servers have; and the
 * rules by which webhooks are added. Ids of the node's own tools, and those below `tool.mcp.` and `tool.agent.`, are
 * nobody's to take.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { EgressPolicy } from '../../platform/egress/egress-policy.ts';
import type { SecretBox } from '../../platform/secrets/secret-box.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { checkedWebhookSecret, newWebhookSecret } from '../../platform/webhooks/standard-webhooks.ts';
import type { ToolDescriptor, ToolPort } from '../ports/tool.ts';
import type { McpServerRecord, ToolRegistryPort, WebhookTool, WebhookToolRecord } from '../ports/tool-registry.ts';
import type { ToolEntitlement } from '../runtime/permissions.ts';

export interface CatalogTool extends ToolDescriptor {
  readonly webhook?: WebhookToolRecord;
  readonly mcp?: { readonly server: McpServerRecord; readonly toolName: string };
}

export interface WebhookToolInput extends WebhookTool {
  /** Made where absent at creation, kept where absent in a replacement. */
  readonly secret?: string;
}

/** `secret` is there when it is new: it is not shown again. */
export interface WrittenTool {
  readonly tool: CatalogTool;
  readonly secret: string | null;
}

export interface ToolCatalog {
  /** In order of tool ids, without those that the tenant is not entitled to. */
  list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly tools: readonly CatalogTool[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError not_found. */
  get(auth: AuthContext, toolId: string): Promise<CatalogTool>;
  /** @throws AgentOsError invalid_request (schema, URL, secret), conflict. */
  create(auth: AuthContext, input: WebhookToolInput): Promise<WrittenTool>;
  /** @throws AgentOsError invalid_request, not_found, conflict (not a webhook). */
  replace(auth: AuthContext, input: WebhookToolInput): Promise<WrittenTool>;
  /** @throws AgentOsError not_found, conflict (not a webhook). */
  delete(auth: AuthContext, toolId: string): Promise<void>;
}

/** How registrations become descriptors; the adapters that call them know. */
export interface ToolDescriptions {
  webhook(tool: WebhookToolRecord): ToolDescriptor;
  /** Only the tools that the tenant lets in. */
  mcp(server: McpServerRecord): readonly { readonly descriptor: ToolDescriptor; readonly toolName: string }[];
  /** Why a schema cannot be used, or null. */
  schemaProblem(schema: Readonly<Record<string, unknown>>): string | null;
}

export interface ToolCatalogDependencies {
  readonly registry: ToolRegistryPort;
  /** The node's own tools. */
  readonly nodeTools: Pick<ToolPort, 'list'> & { has(toolId: string): boolean };
  readonly descriptions: ToolDescriptions;
  readonly secrets: SecretBox;
  readonly secretPlaceOf: (auth: AuthContext, toolId: string) => readonly string[];
  readonly egressPolicy: Pick<EgressPolicy, 'checkUrl'>;
  readonly entitlement: (auth: AuthContext) => Promise<ToolEntitlement>;
  /** The registry has changed; whoever remembers it forgets. */
  readonly onChanged: (auth: AuthContext) => void;
}

const RESERVED = /^tool\.(mcp|agent)\./;

export function createToolCatalog(dependencies: ToolCatalogDependencies): ToolCatalog {
  const { registry, nodeTools, descriptions, secrets, secretPlaceOf, onChanged } = dependencies;

  async function all(auth: AuthContext): Promise<readonly CatalogTool[]> {
    const [own, { tools, servers }, entitled] = await Promise.all([nodeTools.list(auth), registry.load(auth), dependencies.entitlement(auth)]);
    const found: CatalogTool[] = [
      ...own,
      ...tools.map(viewOf),
      ...servers.filter((server) => server.enabled).flatMap((server) => descriptions.mcp(server).map(({ descriptor, toolName }) => ({ ...descriptor, mcp: { server, toolName } }))),
    ];
    return found.filter(({ toolId }) => entitled === null || entitled.includes(toolId)).sort((a, b) => (a.toolId < b.toolId ? -1 : 1));
  }

  const viewOf = (tool: WebhookToolRecord): CatalogTool => ({ ...descriptions.webhook(tool), webhook: tool });

  function checkWritable(toolId: string): void {
    if (!nodeTools.has(toolId) && !RESERVED.test(toolId)) return;
    throw new AgentOsError('conflict', { message: `${toolId} is not a webhook tool: the name belongs to this node. Choose another id.`, details: { reason: 'tool_id_reserved', tool_id: toolId } });
  }

  function checkDefinition(tool: WebhookTool): void {
    for (const [path, schema] of [['/input_schema', tool.inputSchema], ['/output_schema', tool.outputSchema]] as const) {
      const problem = schema === null ? null : descriptions.schemaProblem(schema);
      if (problem !== null) throw misfit(path, `It is no JSON Schema that can be used: ${problem}.`);
    }
    if (tool.inputSchema['type'] !== 'object') throw misfit('/input_schema/type', "The input of a tool is an object: its schema says type 'object'.");
    try {
      dependencies.egressPolicy.checkUrl(tool.url);
    } catch (error) {
      throw misfit('/webhook/url', (error as Error).message);
    }
  }

  return {
    async list(auth, { limit, after = '' }) {
      const found = (await all(auth)).filter(({ toolId }) => toolId > after);
      return { tools: found.slice(0, limit), hasMore: found.length > limit };
    },
    async get(auth, toolId) {
      const tool = (await all(auth)).find((one) => one.toolId === toolId);
      if (tool === undefined) throw new AgentOsError('not_found', { message: `There is no tool ${toolId}.`, details: { tool_id: toolId } });
      return tool;
    },
    async create(auth, { secret: given, ...tool }) {
      checkWritable(tool.toolId);
      checkDefinition(tool);
      const secret = given === undefined ? newWebhookSecret() : checkedWebhookSecret(given);
      const record = await registry.createTool(auth, tool, secrets.seal(secret, secretPlaceOf(auth, tool.toolId)));
      onChanged(auth);
      return { tool: viewOf(record), secret };
    },
    async replace(auth, { secret, ...tool }) {
      checkWritable(tool.toolId);
      checkDefinition(tool);
      const sealed = secret === undefined ? null : secrets.seal(checkedWebhookSecret(secret), secretPlaceOf(auth, tool.toolId));
      const record = await registry.replaceTool(auth, tool, sealed);
      onChanged(auth);
      return { tool: viewOf(record), secret: secret ?? null };
    },
    async delete(auth, toolId) {
      checkWritable(toolId);
      await registry.deleteTool(auth, toolId);
      onChanged(auth);
    },
  };
}

export const misfit = (path: string, message: string): AgentOsError => new AgentOsError('invalid_request', { message: `${path}: ${message}`, details: { errors: [{ path, message }] } });
