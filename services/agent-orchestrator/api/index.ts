/** Every operation of the contract that this service serves; a missing one does not compile. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AuditPort } from '../../platform/audit/audit.ts';
import type { Health } from '../../platform/http/health.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { Keys } from '../../platform/tenancy/keys.ts';
import type { Principals } from '../../platform/tenancy/principals.ts';
import type { Tenants } from '../../platform/tenancy/tenants.ts';
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
import { createKey } from './createKey.ts';
import { createMcpServer } from './createMcpServer.ts';
import { createRun } from './createRun.ts';
import { createRunBatch } from './createRunBatch.ts';
import { createRunForAgent } from './createRunForAgent.ts';
import { createTenant } from './createTenant.ts';
import { createTenantKey } from './createTenantKey.ts';
import { createTool } from './createTool.ts';
import { createWebhook } from './createWebhook.ts';
import { deleteAgent } from './deleteAgent.ts';
import { deleteMcpServer } from './deleteMcpServer.ts';
import { deleteMemoryItem } from './deleteMemoryItem.ts';
import { deletePrincipal } from './deletePrincipal.ts';
import { deleteTenant } from './deleteTenant.ts';
import { deleteTenantPrincipal } from './deleteTenantPrincipal.ts';
import { deleteTool } from './deleteTool.ts';
import { deleteWebhook } from './deleteWebhook.ts';
import { exportAudit } from './exportAudit.ts';
import { getAgent } from './getAgent.ts';
import { getMcpServer } from './getMcpServer.ts';
import { getMemoryItem } from './getMemoryItem.ts';
import { getMemoryUsage } from './getMemoryUsage.ts';
import { getOwnTenant } from './getOwnTenant.ts';
import { getPeerCapabilities } from './getPeerCapabilities.ts';
import { getPeerInfo } from './getPeerInfo.ts';
import { getPrincipal } from './getPrincipal.ts';
import { getRun } from './getRun.ts';
import { getTenant } from './getTenant.ts';
import { getTenantPrincipal } from './getTenantPrincipal.ts';
import { getTool } from './getTool.ts';
import { getWebhook } from './getWebhook.ts';
import { listAgentRuns } from './listAgentRuns.ts';
import { listAgents } from './listAgents.ts';
import { listAgentVersions } from './listAgentVersions.ts';
import { listAudit } from './listAudit.ts';
import { listKeys } from './listKeys.ts';
import { listMcpServers } from './listMcpServers.ts';
import { listMemoryItems } from './listMemoryItems.ts';
import { listMemoryNamespaces } from './listMemoryNamespaces.ts';
import { listPrincipals } from './listPrincipals.ts';
import { listRunEvents } from './listRunEvents.ts';
import { listRuns } from './listRuns.ts';
import { listTenantKeys } from './listTenantKeys.ts';
import { listTenantPrincipals } from './listTenantPrincipals.ts';
import { listTenants } from './listTenants.ts';
import { listTools } from './listTools.ts';
import { listWebhookDeliveries } from './listWebhookDeliveries.ts';
import { listWebhooks } from './listWebhooks.ts';
import { putMemoryItem } from './putMemoryItem.ts';
import { putPrincipal } from './putPrincipal.ts';
import { putTenantPrincipal } from './putTenantPrincipal.ts';
import { refreshMcpServer } from './refreshMcpServer.ts';
import { replaceMcpServer } from './replaceMcpServer.ts';
import { replaceTenant } from './replaceTenant.ts';
import { replaceTool } from './replaceTool.ts';
import { replaceWebhook } from './replaceWebhook.ts';
import { replayRun } from './replayRun.ts';
import { restoreTenant } from './restoreTenant.ts';
import { resumeTenant } from './resumeTenant.ts';
import { retryRun } from './retryRun.ts';
import { revokeKey } from './revokeKey.ts';
import { revokeTenantKey } from './revokeTenantKey.ts';
import { rollBackAgent } from './rollBackAgent.ts';
import { rotateKey } from './rotateKey.ts';
import { rotateTenantKey } from './rotateTenantKey.ts';
import { searchMemory } from './searchMemory.ts';
import { streamRunEvents } from './streamRunEvents.ts';
import { suspendTenant } from './suspendTenant.ts';
import { testWebhook } from './testWebhook.ts';
import { updateAgent } from './updateAgent.ts';
import { updateTenant } from './updateTenant.ts';

export interface ApiDependencies {
  readonly runs: Runs;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly agentRules: Agents;
  readonly directory: DirectoryPort;
  readonly tenants: Tenants;
  readonly principals: Principals;
  readonly keys: Keys;
  readonly peers: PeerInformation;
  readonly webhooks: WebhookPort;
  readonly subscriptions: Subscriptions;
  readonly memories: Memory;
  readonly catalog: ToolCatalog;
  readonly mcpServers: McpServers;
  readonly audit: AuditPort;
  readonly health: Health<'agent-orchestrator'>;
}

/** Tenants, principals and keys: of any tenant for operators, and of their own for its administrators. */
function administrationHandlers({ directory, tenants, principals, keys }: Pick<ApiDependencies, 'directory' | 'tenants' | 'principals' | 'keys'>) {
  return {
    listTenants: listTenants(directory),
    createTenant: createTenant(directory),
    getTenant: getTenant(directory),
    replaceTenant: replaceTenant(directory),
    updateTenant: updateTenant(directory),
    deleteTenant: deleteTenant(tenants),
    suspendTenant: suspendTenant(tenants),
    resumeTenant: resumeTenant(tenants),
    restoreTenant: restoreTenant(tenants),
    getOwnTenant: getOwnTenant(tenants),
    listPrincipals: listPrincipals(principals),
    listTenantPrincipals: listTenantPrincipals(principals),
    getPrincipal: getPrincipal(principals),
    getTenantPrincipal: getTenantPrincipal(principals),
    putPrincipal: putPrincipal(principals),
    putTenantPrincipal: putTenantPrincipal(principals),
    deletePrincipal: deletePrincipal(principals),
    deleteTenantPrincipal: deleteTenantPrincipal(principals),
    listKeys: listKeys(keys),
    listTenantKeys: listTenantKeys(keys),
    createKey: createKey(keys),
    createTenantKey: createTenantKey(keys),
    rotateKey: rotateKey(keys),
    rotateTenantKey: rotateTenantKey(keys),
    revokeKey: revokeKey(keys),
    revokeTenantKey: revokeTenantKey(keys),
  } satisfies Partial<AgentOrchestratorHandlers>;
}

export function createHandlers({ runs, events, agents, agentRules, directory, tenants, principals, keys, peers, webhooks, subscriptions, memories, catalog, mcpServers, audit, health }: ApiDependencies) {
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
    listAudit: listAudit(audit),
    exportAudit: exportAudit(audit),
    ...administrationHandlers({ directory, tenants, principals, keys }),
    listWebhooks: listWebhooks(webhooks),
    createWebhook: createWebhook(subscriptions),
    getWebhook: getWebhook(webhooks),
    replaceWebhook: replaceWebhook(subscriptions),
    deleteWebhook: deleteWebhook(webhooks),
    testWebhook: testWebhook(subscriptions, audit),
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
    refreshMcpServer: refreshMcpServer(mcpServers, audit),
    getPeerInfo: getPeerInfo(peers),
    getPeerCapabilities: getPeerCapabilities(peers),
    agentOrchestratorHealth: health.health,
    getReadiness: health.readiness,
    getMetrics: health.metrics,
  } satisfies AgentOrchestratorHandlers;
}
