import { LocalPeer } from '../../../services/federation/adapters/peer-local.ts';
import { nodeCapabilities, NO_MODELS } from '../../../services/federation/peers/capabilities.ts';
import { createServiceTokenIssuer, serviceTokenKey } from '../../../services/platform/auth/service-token.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { startNodeUpstream } from '../node-upstream.ts';
import { peerAt } from '../peer-fixtures.ts';

const factory: PortFactory<'peer'> = {
  port: 'peer',
  adapter: 'local',
  async create() {
    const node = await startNodeUpstream('stk_here');
    const target = peerAt('stk_here', node.url);
    const issuer = createServiceTokenIssuer(serviceTokenKey('the signing key of the suite, 32 bytes'), 'federation');
    const peer = new LocalPeer({
      baseUrl: node.url,
      credentials: async (auth) => ({ authorization: `Bearer ${await issuer.issue({ audience: 'agent-orchestrator', auth })}` }),
      describe: async () => ({ peer: target, capabilities: nodeCapabilities({ maxConcurrentRuns: 1, maxEventStreams: 1 }, NO_MODELS, true) }),
      timeoutMs: 2_000,
    });
    return {
      peer, target, node,
      outage: node.outage,
      newTenant: async () => ({ ...freshTenant(), scopes: ['runs:create', 'runs:read', 'runs:cancel'] }),
      async dispose() {
        await peer.close();
        await node.close();
      },
    };
  },
};
export default factory;
