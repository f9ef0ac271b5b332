/**
 * What a node for demonstration and development begins with (PRS 15, Appendix H, C-49, C-54): one tenant without run
 * quotas of its own, two principals, three agents. Seeding again changes nothing.
 */
import type { SeedOutputs } from '../../generated/types/index.ts';
import { AgentOsError } from '../platform/errors.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import type { DirectoryPort, PrincipalRecord } from '../platform/tenancy/directory.ts';
import type { AgentDefinition, AgentPort } from './ports/agents.ts';
import { DEFAULT_LIMITS, DEFAULT_RETRY } from './runtime/implicit-agent.ts';

export const SEED_TENANT_ID = 'tnt_demo';
export const SEED_PLATFORM_ADMIN = 'usr_platform_admin';
export const SEED_TENANT_ADMIN = 'usr_tnt_demo_admin';

const BASE = { version: '1', requirements: {}, limits: DEFAULT_LIMITS, retry: DEFAULT_RETRY, modelRef: 'tier:balanced' } as const;

/** Instructions name their tools, because the built-in model calls what is named. */
export const SEED_AGENTS: readonly AgentDefinition[] = [
  {
    ...BASE,
    agentId: 'agt_demo',
    name: 'Demo assistant',
    description: 'A plain assistant: one model call, no tools.',
    instructions: 'You are a helpful assistant. Answer the user briefly and directly.',
    tools: [],
    toolChoice: 'none',
  },
  {
    ...BASE,
    agentId: 'agt_review_summarizer_v1',
    name: 'Review summarizer',
    description: 'Counts a collection of customer reviews, summarises it by theme and drafts an action list.',
    instructions: [
      'You analyse customer reviews for a product team.',
      'First call the tool text_stats (tool.text.stats) once, with the whole text of the user.',
      'Then summarise the reviews: state the figures that the tool returned, the main themes with how customers feel about each, and quote typical sentences.',
      'End with an action list: one concrete action for each problem that customers report, the most frequent problem first.',
    ].join('\n'),
    tools: ['tool.text.stats'],
    toolChoice: 'tool.text.stats',
  },
  {
    ...BASE,
    agentId: 'agt_sample_echo_v1',
    name: 'Echo sample',
    description: 'Calls the echo tool with what it is given and answers with what the tool returned.',
    instructions: 'Call the tool echo (tool.echo) once with the text of the user. Then answer with exactly what the tool returned.',
    tools: ['tool.echo'],
    toolChoice: 'tool.echo',
  },
];

const PRINCIPALS: readonly PrincipalRecord[] = [
  { tenantId: SEED_TENANT_ID, principalId: SEED_PLATFORM_ADMIN, principalType: 'user', displayName: 'Platform administrator', roles: ['platform_admin'] },
  { tenantId: SEED_TENANT_ID, principalId: SEED_TENANT_ADMIN, principalType: 'user', displayName: 'Administrator of the demo tenant', roles: ['tenant_admin'] },
];

/** The context under which seeding writes. */
export const SEED_AUTH: AuthContext = {
  tenant_id: SEED_TENANT_ID,
  principal: { principal_id: SEED_PLATFORM_ADMIN, principal_type: 'user' },
  scopes: ['tenants:admin', 'agents:read', 'agents:write'],
  roles: ['platform_admin'],
};

/** An agent that is there already stays as it is: somebody may have changed it since. */
async function seedAgents(agents: AgentPort, auth: AuthContext): Promise<readonly string[]> {
  for (const agent of SEED_AGENTS) {
    try {
      await agents.create(auth, { ...agent, status: 'active' });
    } catch (error) {
      if (!(error instanceof AgentOsError) || error.code !== 'conflict') throw error;
    }
  }
  return SEED_AGENTS.map((agent) => agent.agentId);
}

/** Everything above, in the order in which one needs the other. Answers the block of Appendix H. */
export async function seedNode(directory: DirectoryPort, agents: AgentPort): Promise<SeedOutputs['seeded']> {
  if ((await directory.getTenant(SEED_AUTH, SEED_TENANT_ID)) === null) {
    await directory.createTenant(SEED_AUTH, { tenant_id: SEED_TENANT_ID, name: 'Demo Tenant', plan_tier: 'demo', default_policy_id: 'pol_default' });
  }
  for (const principal of PRINCIPALS) await directory.putPrincipal(SEED_AUTH, principal);
  const agentIds = await seedAgents(agents, SEED_AUTH);
  return {
    default_tenant_id: SEED_TENANT_ID,
    platform_admin_principal_id: SEED_PLATFORM_ADMIN,
    tenant_admin_principal_id: SEED_TENANT_ADMIN,
    sample_agent_ids: [...agentIds],
    sample_tool_ids: ['tool.echo', 'tool.text.stats', 'tool.kv.put', 'tool.kv.get'],
  };
}
