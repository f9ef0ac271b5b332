/** What both families of ToolRegistryPort share: refusals, and the arithmetic of a rate. */
import { AgentOsError } from '../../platform/errors.ts';
import { MAX_MCP_SERVERS, MAX_WEBHOOK_TOOLS } from '../ports/tool-registry.ts';

export const noSuchTool = (toolId: string): AgentOsError => new AgentOsError('not_found', { message: `There is no tool ${toolId}.`, details: { tool_id: toolId } });

export const noSuchServer = (serverId: string): AgentOsError => new AgentOsError('not_found', { message: `There is no MCP server ${serverId}.`, details: { server_id: serverId } });

export const toolExists = (toolId: string): AgentOsError =>
  new AgentOsError('conflict', { message: `There is a tool ${toolId} already; replace it, or choose another id.`, details: { reason: 'tool_exists', tool_id: toolId } });

export const serverExists = (serverId: string): AgentOsError =>
  new AgentOsError('conflict', { message: `There is an MCP server ${serverId} already; replace it, or choose another id.`, details: { reason: 'mcp_server_exists', server_id: serverId } });

export const tooManyTools = (): AgentOsError =>
  new AgentOsError('conflict', { message: `A tenant has at most ${MAX_WEBHOOK_TOOLS} webhook tools; delete one first.`, details: { reason: 'too_many_tools', limit: MAX_WEBHOOK_TOOLS } });

export const tooManyServers = (): AgentOsError =>
  new AgentOsError('conflict', { message: `A tenant has at most ${MAX_MCP_SERVERS} MCP servers; delete one first.`, details: { reason: 'too_many_mcp_servers', limit: MAX_MCP_SERVERS } });

/** Milliseconds between calls that come evenly, and how far ahead of that a burst may be. */
export function rateOf(perMinute: number): { readonly intervalMs: number; readonly toleranceMs: number } {
  const intervalMs = 60_000 / perMinute;
  return { intervalMs, toleranceMs: 60_000 - intervalMs };
}

/** Until the call would be let through. */
export const retryAfterMs = (arrivalMs: number, nowMs: number, toleranceMs: number): number => Math.max(1, Math.ceil(arrivalMs - toleranceMs - nowMs));
