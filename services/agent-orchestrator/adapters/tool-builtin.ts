/**
 * The tools that every node has, in this process. Input is checked against the tool's own schema before the tool sees
 * it, because it comes from a model, and output before the model sees it; every call is bounded in time.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ToolDescriptor, ToolInvocation, ToolPort } from '../ports/tool.ts';
import { noSuchTool } from './tool-registrations.ts';
import type { BuiltinTool } from './tools/builtin-tool.ts';
import { withinTime } from './tools/call-time.ts';
import { echoTool } from './tools/echo.ts';
import { kvDeleteTool } from './tools/kv-delete.ts';
import { kvGetTool } from './tools/kv-get.ts';
import type { KvMemory } from './tools/kv-namespace.ts';
import { kvPutTool } from './tools/kv-put.ts';
import { checkInput, checkOutput } from './tools/schema-check.ts';
import { textStatsTool } from './tools/text-stats.ts';

export class BuiltinTools implements ToolPort {
  readonly #tools: ReadonlyMap<string, BuiltinTool>;
  readonly #descriptors: readonly ToolDescriptor[];

  /** `more`: tools that stand on something else than memory. */
  constructor(memory: KvMemory, more: readonly BuiltinTool[] = []) {
    const tools = [echoTool, textStatsTool, kvPutTool(memory), kvGetTool(memory), kvDeleteTool(memory), ...more];
    this.#tools = new Map(tools.map((tool) => [tool.toolId, tool]));
    this.#descriptors = tools.map(({ run: _run, forTenant: _forTenant, ...descriptor }) => descriptor);
  }

  capabilities(): PortCapabilities {
    return { adapter: 'builtin', contractVersion: '1.0', durable: false, features: [] };
  }

  /** Whether the name is taken on this node, also where a tenant cannot use it. */
  has(toolId: string): boolean {
    return this.#tools.has(toolId);
  }

  async list(auth: AuthContext): Promise<readonly ToolDescriptor[]> {
    return this.#descriptors.flatMap((descriptor) => {
      const { forTenant } = this.#tools.get(descriptor.toolId)!;
      if (forTenant === undefined) return descriptor;
      const own = forTenant(auth);
      return own === null ? [] : { ...descriptor, ...own };
    });
  }

  async invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown> {
    const tool = this.#tools.get(invocation.toolId);
    if (tool === undefined || tool.forTenant?.(auth) === null) throw noSuchTool(invocation.toolId);
    checkInput(tool.toolId, tool.inputSchema, invocation.input);
    const output = await withinTime(invocation, (signal) => tool.run(auth, invocation.input, signal, invocation));
    checkOutput(tool.toolId, tool.outputSchema ?? null, output);
    return output;
  }
}
