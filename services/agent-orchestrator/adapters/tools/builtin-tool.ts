/** What a built-in tool is: a description for models and a function. Permission and validation come before it. */
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';
import type { ToolDescriptor } from '../../ports/tool.ts';

export interface BuiltinTool extends ToolDescriptor {
  /** `input` fits `inputSchema`. Repeating a call changes nothing more. */
  readonly run: (auth: AuthContext, input: unknown, signal: AbortSignal) => Promise<unknown>;
}
