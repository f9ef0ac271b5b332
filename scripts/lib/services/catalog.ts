/** The services of a node: names, ports, and where each answers for its health. */
export const SERVICE_NAMES = ['model-policy', 'agent-orchestrator', 'federation'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export interface ServiceEntry {
  readonly name: ServiceName;
  readonly title: string;
  readonly portVariable: 'AGENTOS_MODEL_POLICY_PORT' | 'AGENTOS_AGENT_ORCHESTRATOR_PORT' | 'AGENTOS_FEDERATION_PORT';
  readonly urlVariable: 'AGENTOS_MODEL_POLICY_URL' | 'AGENTOS_AGENT_ORCHESTRATOR_URL' | 'AGENTOS_FEDERATION_URL';
  readonly healthPath: string;
  /** Short names accepted on the command line. */
  readonly aliases: readonly string[];
}

/** In the order of starting; stopping goes the other way round. */
export const SERVICES: readonly ServiceEntry[] = [
  { name: 'model-policy', title: 'Model Policy', portVariable: 'AGENTOS_MODEL_POLICY_PORT', urlVariable: 'AGENTOS_MODEL_POLICY_URL', healthPath: '/v1/health', aliases: ['mp'] },
  { name: 'agent-orchestrator', title: 'Agent Orchestrator', portVariable: 'AGENTOS_AGENT_ORCHESTRATOR_PORT', urlVariable: 'AGENTOS_AGENT_ORCHESTRATOR_URL', healthPath: '/v1/health', aliases: ['ao'] },
  { name: 'federation', title: 'Federation', portVariable: 'AGENTOS_FEDERATION_PORT', urlVariable: 'AGENTOS_FEDERATION_URL', healthPath: '/v1/federation/health', aliases: ['fed'] },
];

/** The service that a person means by `word`; null when there is none. */
export function findService(word: string): ServiceEntry | null {
  return SERVICES.find((service) => service.name === word || service.aliases.includes(word)) ?? null;
}

/** Everything that has a log and can be restarted: the services and Postgres. */
export function logSourceNames(): readonly string[] {
  return [...SERVICES.map((service) => service.name), 'postgres'];
}
