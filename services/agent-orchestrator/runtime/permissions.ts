/**
 * May this run call this tool? (PRS 5.2, PRS 10; HLD 9.)
 *
 * A tool runs only when the tenant is entitled to it, the agent has it, the request's allow-list does not leave it
 * out, and no deny-list names it. The executor asks at each call, whatever the model has been offered or says.
 */
import type { AgentDefinition } from '../ports/agents.ts';
import type { RunTooling } from '../ports/run-state.ts';

/** `null` stands for an absent list, which allows every tool; an empty list allows none. */
export type ToolEntitlement = readonly string[] | null;

export type ToolPermission =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly reason: 'denylisted' | 'not_entitled' | 'not_an_agent_tool' | 'not_in_allowlist' };

export interface PermissionInput {
  readonly entitlement: ToolEntitlement;
  readonly agent: Pick<AgentDefinition, 'tools'>;
  readonly tooling: RunTooling;
}

export function toolPermission(toolId: string, input: PermissionInput): ToolPermission {
  if (input.tooling.denylist.includes(toolId)) return { allowed: false, reason: 'denylisted' };
  if (input.entitlement !== null && !input.entitlement.includes(toolId)) return { allowed: false, reason: 'not_entitled' };
  if (!input.agent.tools.includes(toolId)) return { allowed: false, reason: 'not_an_agent_tool' };
  if (input.tooling.allowlist !== null && !input.tooling.allowlist.includes(toolId)) return { allowed: false, reason: 'not_in_allowlist' };
  return { allowed: true };
}

/** The tools to offer to the model, in the order in which the agent names them. */
export function permittedTools(input: PermissionInput): readonly string[] {
  return input.agent.tools.filter((toolId) => toolPermission(toolId, input).allowed);
}
