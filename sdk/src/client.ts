import { Agents } from './resources/agents.ts';
import { Models } from './resources/models.ts';
import { Peers } from './resources/peers.ts';
import { Runs } from './resources/runs.ts';
import { Tenants } from './resources/tenants.ts';
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
  readonly tenants: Tenants;
  readonly peers: Peers;

  constructor(options: ClientOptions = {}) {
    const baseUrl = options.baseUrl ?? process.env['AGENTOS_BASE_URL'];
    const session = new Session(baseUrl ? { ...options, baseUrl } : options);
    this.runs = new Runs(session);
    this.agents = new Agents(session);
    this.models = new Models(session);
    this.tenants = new Tenants(session);
    this.peers = new Peers(session);
  }
}
