/** What a built-in tool is: a description for models and a function. Permission and validation come before it. */
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import type { ToolDescriptor, ToolInvocation } from '../../ports/tool.ts';

export interface BuiltinTool extends ToolDescriptor {
  /** What is different for this tenant, null where it has no such tool; absent: the same for all. */
  readonly forTenant?: (auth: AuthContext) => Pick<ToolDescriptor, 'description' | 'inputSchema'> | null;
  /** `input` fits `inputSchema`. Repeating a call changes nothing more. */
  readonly run: (auth: AuthContext, input: unknown, signal: AbortSignal, invocation?: ToolInvocation) => Promise<unknown>;
}
