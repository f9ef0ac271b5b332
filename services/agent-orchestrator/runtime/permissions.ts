/**
 * May this run call this tool? (PRS 5.2, PRS 10; HLD 9.)
 *
 * A tool runs only when the tenant is entitled to it, the agent has it, the request's allow-list does not leave it
 * out, and no deny-list names it. The executor asks at each call, whatever the model has been offered or says.
 */
import type { AgentDefinition, AgentPermissions } from '../ports/agents.ts';
import type { RunTooling } from '../ports/run-state.ts';
import type { ToolReach } from '../ports/tool.ts';

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

const endsOpen = (pattern: string, name: string): boolean => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern);

/** `*.example.com` stands for every name below that one, and not for itself. */
function hostMatches(pattern: string, host: string): boolean {
  const wanted = pattern.toLowerCase();
  return wanted === '*' || (wanted.startsWith('*.') ? host.endsWith(wanted.slice(1)) : host === wanted);
}

/** May a run of the agent reach this? Lists are as `AgentPermissions` says; an agent without permissions calls no agent. */
export function mayReach(permissions: AgentPermissions | undefined, reach: ToolReach): boolean {
  switch (reach.kind) {
    case 'agent':
      return permissions?.agents?.some((pattern) => endsOpen(pattern, reach.name)) ?? false;
    case 'host':
      return permissions?.hosts?.some((pattern) => hostMatches(pattern, reach.name.toLowerCase())) ?? true;
    case 'memory_read':
      return permissions?.memory?.read?.some((pattern) => endsOpen(pattern, reach.name)) ?? true;
    case 'memory_write':
      return permissions?.memory?.write?.some((pattern) => endsOpen(pattern, reach.name)) ?? true;
  }
}
