import { Agent } from 'undici';
import { HttpsPeer } from '../../../services/federation/adapters/peer-https.ts';
import { createPeerAssertions } from '../../../services/federation/trust/assertions.ts';
import { createAuthority, stackCertificate } from '../../harness/certificate.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { startNodeUpstream } from '../node-upstream.ts';
import { peerAt } from '../peer-fixtures.ts';

const factory: PortFactory<'peer'> = {
  port: 'peer',
  adapter: 'https',
  async create() {
    const authority = await createAuthority('Suite');
    const [own, theirs] = await Promise.all([stackCertificate(authority, 'stk_here'), stackCertificate(authority, 'stk_there')]);
    const node = await startNodeUpstream('stk_there', { ...theirs, ca: authority.cert, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
    const dispatcher = new Agent({ connect: { ...own, ca: authority.cert } });
    const connection = { dispatcher, streams: dispatcher, accepts: async () => true, assertions: createPeerAssertions('stk_here', own) };
    return {
      peer: new HttpsPeer({ connection: () => connection, timeoutMs: 2_000 }),
      target: peerAt('stk_there', node.url), node,
      outage: node.outage,
      newTenant: async () => ({ ...freshTenant(), scopes: ['runs:create', 'runs:read', 'runs:cancel'] }),
      async dispose() {
        await dispatcher.destroy();
        await node.close();
      },
    };
  },
};
export default factory;
