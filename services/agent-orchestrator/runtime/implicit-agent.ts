/**
 * The definition under which an agent that nobody registered runs, where the node allows that (C-48: demo and dev).
 * It exists only in the runs that use it: it is not listed, and reading the agent stays 404.
 */
import type { AgentDefinition } from '../ports/agents.ts';

export const DEFAULT_LIMITS: AgentDefinition['limits'] = { maxSteps: 30, timeoutMs: 180_000, toolTimeoutMs: 10_000, modelTimeoutMs: 60_000 };
export const DEFAULT_RETRY: AgentDefinition['retry'] = { modelAttempts: 3, toolAttempts: 2 };

export function implicitAgent(agentId: string): AgentDefinition {
  return {
    agentId,
    version: 'implicit',
    name: agentId,
    description: 'Runs because this node allows agents that are not registered.',
    instructions: 'You are a plain assistant. Repeat what the user said and add nothing. Call no tool.',
    modelRef: 'tier:balanced',
    requirements: {},
    tools: [],
    toolChoice: 'none',
    limits: DEFAULT_LIMITS,
    retry: DEFAULT_RETRY,
  };
}
