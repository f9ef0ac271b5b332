import { Agents } from './resources/agents.ts';
import { Audit } from './resources/audit.ts';
import { Decisions } from './resources/decisions.ts';
import { Federation } from './resources/federation.ts';
import { Keys } from './resources/keys.ts';
import { McpServers } from './resources/mcp-servers.ts';
import { Memory } from './resources/memory.ts';
import { Models } from './resources/models.ts';
import { OpenAi } from './resources/openai.ts';
import { Peers } from './resources/peers.ts';
import { Policies } from './resources/policies.ts';
import { Principals } from './resources/principals.ts';
import { Routing } from './resources/routing.ts';
import { Runs } from './resources/runs.ts';
import { Tenants } from './resources/tenants.ts';
import { Tools } from './resources/tools.ts';
import { Usage } from './resources/usage.ts';
import { Webhooks } from './resources/webhooks.ts';
import { Session } from './session.ts';
import type { ClientOptions } from './transport.ts';

/**
 * A client of one AgentOS node.
 *
 *     const agentos = new AgentOS({ tenantId: 'tnt_demo' });
 *     const run = await agentos.runs.create('agt_demo', 'hello');
 *     for await (const event of agentos.runs.events(run.run_id)) console.log(event.type);
 */
export class AgentOS {
  readonly runs: Runs;
  readonly agents: Agents;
  readonly models: Models;
  readonly openai: OpenAi;
  readonly policies: Policies;
  readonly usage: Usage;
  readonly decisions: Decisions;
  readonly mcpServers: McpServers;
  readonly memory: Memory;
  readonly tools: Tools;
  readonly webhooks: Webhooks;
  readonly principals: Principals;
  readonly keys: Keys;
  readonly audit: Audit;
  readonly tenants: Tenants;
  readonly routing: Routing;
  readonly peers: Peers;
  readonly federation: Federation;

  constructor(options: ClientOptions = {}) {
    const baseUrl = options.baseUrl ?? process.env['AGENTOS_BASE_URL'];
    const session = new Session(baseUrl ? { ...options, baseUrl } : options);
    this.runs = new Runs(session);
    this.agents = new Agents(session);
    this.models = new Models(session);
    this.openai = new OpenAi(session);
    this.policies = new Policies(session);
    this.usage = new Usage(session);
    this.decisions = new Decisions(session);
    this.mcpServers = new McpServers(session);
    this.memory = new Memory(session);
    this.tools = new Tools(session);
    this.webhooks = new Webhooks(session);
    this.principals = new Principals(session);
    this.keys = new Keys(session);
    this.audit = new Audit(session);
    this.tenants = new Tenants(session);
    this.routing = new Routing(session);
    this.peers = new Peers(session);
    this.federation = new Federation(session);
  }
}
