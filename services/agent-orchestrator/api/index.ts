/** Every operation of the contract that this service serves; a missing one does not compile. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Health } from '../../platform/http/health.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { PeerInformation } from '../adapters/peer-information.ts';
import type { Memory } from '../memory/memory.ts';
import type { AgentPort } from '../ports/agents.ts';
import type { EventPort } from '../ports/events.ts';
import type { WebhookPort } from '../ports/webhooks.ts';
import type { Agents } from '../runtime/agents.ts';
import type { Runs } from '../runtime/runs.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';
import type { Subscriptions } from '../webhooks/subscriptions.ts';
import { cancelRun } from './cancelRun.ts';
import { createAgent } from './createAgent.ts';
import { createMcpServer } from './createMcpServer.ts';
import { createRun } from './createRun.ts';
import { createRunBatch } from './createRunBatch.ts';
import { createRunForAgent } from './createRunForAgent.ts';
import { createTenant } from './createTenant.ts';
import { createTool } from './createTool.ts';
import { createWebhook } from './createWebhook.ts';
import { deleteAgent } from './deleteAgent.ts';
import { deleteMcpServer } from './deleteMcpServer.ts';
import { deleteMemoryItem } from './deleteMemoryItem.ts';
import { deleteTenant } from './deleteTenant.ts';
import { deleteTool } from './deleteTool.ts';
import { deleteWebhook } from './deleteWebhook.ts';
import { getAgent } from './getAgent.ts';
import { getMcpServer } from './getMcpServer.ts';
import { getMemoryItem } from './getMemoryItem.ts';
import { getMemoryUsage } from './getMemoryUsage.ts';
import { getPeerCapabilities } from './getPeerCapabilities.ts';
import { getPeerInfo } from './getPeerInfo.ts';
import { getRun } from './getRun.ts';
import { getTenant } from './getTenant.ts';
import { getTool } from './getTool.ts';
import { getWebhook } from './getWebhook.ts';
import { listAgentRuns } from './listAgentRuns.ts';
import { listAgents } from './listAgents.ts';
import { listAgentVersions } from './listAgentVersions.ts';
import { listMcpServers } from './listMcpServers.ts';
import { listMemoryItems } from './listMemoryItems.ts';
import { listMemoryNamespaces } from './listMemoryNamespaces.ts';
import { listRunEvents } from './listRunEvents.ts';
import { listRuns } from './listRuns.ts';
import { listTenants } from './listTenants.ts';
import { listTools } from './listTools.ts';
import { listWebhookDeliveries } from './listWebhookDeliveries.ts';
import { listWebhooks } from './listWebhooks.ts';
import { putMemoryItem } from './putMemoryItem.ts';
import { refreshMcpServer } from './refreshMcpServer.ts';
import { replaceMcpServer } from './replaceMcpServer.ts';
import { replaceTenant } from './replaceTenant.ts';
import { replaceTool } from './replaceTool.ts';
import { replaceWebhook } from './replaceWebhook.ts';
import { replayRun } from './replayRun.ts';
import { retryRun } from './retryRun.ts';
import { rollBackAgent } from './rollBackAgent.ts';
import { searchMemory } from './searchMemory.ts';
import { streamRunEvents } from './streamRunEvents.ts';
import { testWebhook } from './testWebhook.ts';
import { updateAgent } from './updateAgent.ts';
import { updateTenant } from './updateTenant.ts';

export interface ApiDependencies {
  readonly runs: Runs;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly agentRules: Agents;
  readonly directory: DirectoryPort;
  readonly peers: PeerInformation;
  readonly webhooks: WebhookPort;
  readonly subscriptions: Subscriptions;
  readonly memories: Memory;
  readonly catalog: ToolCatalog;
  readonly mcpServers: McpServers;
  readonly health: Health<'agent-orchestrator'>;
}

export function createHandlers({ runs, events, agents, agentRules, directory, peers, webhooks, subscriptions, memories, catalog, mcpServers, health }: ApiDependencies) {
  return {
    createRun: createRun(runs),
    createRunForAgent: createRunForAgent(runs),
    getRun: getRun(runs),
    cancelRun: cancelRun(runs),
    listRuns: listRuns(runs),
    listAgentRuns: listAgentRuns(runs),
    createRunBatch: createRunBatch(runs),
    retryRun: retryRun(runs),
    replayRun: replayRun(runs),
    listRunEvents: listRunEvents(runs),
    streamRunEvents: streamRunEvents(events),
    listAgents: listAgents(agents),
    getAgent: getAgent(agents),
    createAgent: createAgent(agentRules),
    updateAgent: updateAgent(agentRules),
    deleteAgent: deleteAgent(agentRules),
    listAgentVersions: listAgentVersions(agentRules),
    rollBackAgent: rollBackAgent(agentRules),
    listTenants: listTenants(directory),
    createTenant: createTenant(directory),
    getTenant: getTenant(directory),
    replaceTenant: replaceTenant(directory),
    updateTenant: updateTenant(directory),
    deleteTenant: deleteTenant(directory),
    listWebhooks: listWebhooks(webhooks),
    createWebhook: createWebhook(subscriptions),
    getWebhook: getWebhook(webhooks),
    replaceWebhook: replaceWebhook(subscriptions),
    deleteWebhook: deleteWebhook(webhooks),
    testWebhook: testWebhook(subscriptions),
    listWebhookDeliveries: listWebhookDeliveries(webhooks),
    listMemoryNamespaces: listMemoryNamespaces(memories),
    listMemoryItems: listMemoryItems(memories),
    getMemoryItem: getMemoryItem(memories),
    putMemoryItem: putMemoryItem(memories),
    deleteMemoryItem: deleteMemoryItem(memories),
    searchMemory: searchMemory(memories),
    getMemoryUsage: getMemoryUsage(memories),
    listTools: listTools(catalog),
    getTool: getTool(catalog),
    createTool: createTool(catalog),
    replaceTool: replaceTool(catalog),
    deleteTool: deleteTool(catalog),
    listMcpServers: listMcpServers(mcpServers),
    getMcpServer: getMcpServer(mcpServers),
    createMcpServer: createMcpServer(mcpServers),
    replaceMcpServer: replaceMcpServer(mcpServers),
    deleteMcpServer: deleteMcpServer(mcpServers),
    refreshMcpServer: refreshMcpServer(mcpServers),
    getPeerInfo: getPeerInfo(peers),
    getPeerCapabilities: getPeerCapabilities(peers),
    agentOrchestratorHealth: health.health,
    getReadiness: health.readiness,
    getMetrics: health.metrics,
  } satisfies AgentOrchestratorHandlers;
}
