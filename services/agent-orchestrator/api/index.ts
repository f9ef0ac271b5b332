/** Every operation of the contract that this service serves; a missing one does not compile. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Health } from '../../platform/http/health.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { PeerInformation } from '../adapters/peer-information.ts';
import type { AgentPort } from '../ports/agents.ts';
import type { EventPort } from '../ports/events.ts';
import type { Runs } from '../runtime/runs.ts';
import { cancelRun } from './cancelRun.ts';
import { createRun } from './createRun.ts';
import { createRunForAgent } from './createRunForAgent.ts';
import { createTenant } from './createTenant.ts';
import { deleteTenant } from './deleteTenant.ts';
import { getAgent } from './getAgent.ts';
import { getPeerCapabilities } from './getPeerCapabilities.ts';
import { getPeerInfo } from './getPeerInfo.ts';
import { getRun } from './getRun.ts';
import { getTenant } from './getTenant.ts';
import { listAgentRuns } from './listAgentRuns.ts';
import { listAgents } from './listAgents.ts';
import { listRuns } from './listRuns.ts';
import { listTenants } from './listTenants.ts';
import { replaceTenant } from './replaceTenant.ts';
import { streamRunEvents } from './streamRunEvents.ts';
import { updateTenant } from './updateTenant.ts';

export interface ApiDependencies {
  readonly runs: Runs;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly directory: DirectoryPort;
  readonly peers: PeerInformation;
  readonly health: Health<'agent-orchestrator'>;
}

export function createHandlers({ runs, events, agents, directory, peers, health }: ApiDependencies) {
  return {
    createRun: createRun(runs),
    createRunForAgent: createRunForAgent(runs),
    getRun: getRun(runs),
    cancelRun: cancelRun(runs),
    listRuns: listRuns(runs),
    listAgentRuns: listAgentRuns(runs),
    streamRunEvents: streamRunEvents(events),
    listAgents: listAgents(agents),
    getAgent: getAgent(agents),
    listTenants: listTenants(directory),
    createTenant: createTenant(directory),
    getTenant: getTenant(directory),
    replaceTenant: replaceTenant(directory),
    updateTenant: updateTenant(directory),
    deleteTenant: deleteTenant(directory),
    getPeerInfo: getPeerInfo(peers),
    getPeerCapabilities: getPeerCapabilities(peers),
    agentOrchestratorHealth: health.health,
    getReadiness: health.readiness,
    getMetrics: health.metrics,
  } satisfies AgentOrchestratorHandlers;
}
