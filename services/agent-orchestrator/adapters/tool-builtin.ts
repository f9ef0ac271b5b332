/**
 * The tools that every node has, in this process. Input is checked against the tool's own schema before the tool sees
 * it, because it comes from a model; every call is bounded in time.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { MemoryPort } from '../ports/memory.ts';
import type { ToolDescriptor, ToolInvocation, ToolPort } from '../ports/tool.ts';
import type { BuiltinTool } from './tools/builtin-tool.ts';
import { echoTool } from './tools/echo.ts';
import { kvGetTool } from './tools/kv-get.ts';
import { kvPutTool } from './tools/kv-put.ts';
import { textStatsTool } from './tools/text-stats.ts';

interface Entry {
  readonly tool: BuiltinTool;
  readonly validate: ValidateFunction;
}

export class BuiltinTools implements ToolPort {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #descriptors: readonly ToolDescriptor[];

  constructor(memory: MemoryPort) {
    const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
    const tools = [echoTool, textStatsTool, kvPutTool(memory), kvGetTool(memory)];
    this.#entries = new Map(tools.map((tool) => [tool.toolId, { tool, validate: ajv.compile(tool.inputSchema) }]));
    this.#descriptors = tools.map(({ toolId, name, description, inputSchema }) => ({ toolId, name, description, inputSchema }));
  }

  capabilities(): PortCapabilities {
    return { adapter: 'builtin', contractVersion: '1.0', durable: false, features: [] };
  }

  async list(_auth: AuthContext): Promise<readonly ToolDescriptor[]> {
    return this.#descriptors;
  }

  async invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown> {
    const entry = this.#entries.get(invocation.toolId);
    if (entry === undefined) throw new AgentOsError('not_found', { message: `There is no tool ${invocation.toolId}.`, details: { tool_id: invocation.toolId } });
    if (!entry.validate(invocation.input)) throw invalidInput(invocation.toolId, entry.validate);
    return withinTime(invocation, (signal) => entry.tool.run(auth, invocation.input, signal));
  }
}

function invalidInput(toolId: string, validate: ValidateFunction): AgentOsError {
  const errors = (validate.errors ?? []).slice(0, 10).map((error) => ({ path: `/input${error.instancePath}`, message: error.message ?? error.keyword }));
  return new AgentOsError('invalid_request', {
    message: `The input of ${toolId} does not fit its schema: ${errors.map((error) => `${error.path} ${error.message}`).join('; ')}.`,
    details: { tool_id: toolId, errors },
  });
}

async function withinTime(invocation: ToolInvocation, run: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const { toolId, timeoutMs, signal } = invocation;
  if (signal.aborted) throw aborted(toolId, signal.reason);
  const controller = new AbortController();
  let settle: (error: AgentOsError) => void;
  const stopped = new Promise<never>((_, reject) => {
    settle = reject;
  });
  const onAbort = (): void => settle(aborted(toolId, signal.reason));
  const timer = setTimeout(() => settle(new AgentOsError('timeout', { message: `${toolId} did not answer within ${timeoutMs} ms.`, details: { tool_id: toolId, timeout_ms: timeoutMs } })), timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([run(controller.signal), stopped]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    controller.abort();
  }
}

const aborted = (toolId: string, cause: unknown): AgentOsError =>
  new AgentOsError('timeout', { message: `The call of ${toolId} was abandoned.`, details: { tool_id: toolId, reason: 'aborted' }, cause });
