/** What both agent stores agree on: which definitions are equal, how versions count, how refusals read. */
import { AgentOsError } from '../../platform/errors.ts';
import { canonicalJson } from '../runtime/canonical.ts';
import type { AgentDefinition, AgentDraft, AgentStatus } from '../ports/agents.ts';

export type UnversionedAgent = Omit<AgentDefinition, 'version'>;

/** A definition holds these members and no others, whatever an object that was handed in carries besides. */
export function splitDraft(draft: AgentDraft): { readonly status: AgentStatus; readonly definition: UnversionedAgent } {
  const { agentId, name, description, instructions, modelRef, requirements, tools, toolChoice, limits, retry, permissions, onToolFailure, status } = draft;
  return {
    status,
    definition: {
      agentId, name, description, instructions, modelRef, requirements, tools, toolChoice, limits, retry,
      ...(permissions === undefined ? {} : { permissions }),
      ...(onToolFailure === undefined ? {} : { onToolFailure }),
    },
  };
}

/** The order of members and an absent member do not make a definition another one. */
export function isSameDefinition(stored: AgentDefinition, definition: UnversionedAgent): boolean {
  return canonicalJson(splitDraft({ ...stored, status: 'active' }).definition) === canonicalJson(definition);
}

export const nextVersion = (newest: { readonly version: string } | undefined): string => String((Number(newest?.version ?? 0) || 0) + 1);

export const noSuchAgent = (agentId: string): AgentOsError => new AgentOsError('not_found', { message: `There is no agent ${agentId}.`, details: { agent_id: agentId } });

export const noSuchVersion = (agentId: string, version: string): AgentOsError =>
  new AgentOsError('not_found', { message: `Agent ${agentId} has no version ${version}.`, details: { agent_id: agentId, version } });

export const agentExists = (agentId: string): AgentOsError =>
  new AgentOsError('conflict', { message: `There is an agent ${agentId} already; replace it with PUT or choose another id.`, details: { agent_id: agentId, reason: 'agent_exists' } });
