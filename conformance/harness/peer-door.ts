/** The small service of the pipeline's own tests, served to peers alone: real mutual TLS, the real pipeline, and rules that a test may change. */
import { constants } from 'node:crypto';
import type { createPeerIdentity as CreatePeerIdentity } from '../../services/federation/trust/peer-identity.ts';
import type { PeerTrustRules } from '../../services/federation/peers/peers-file.ts';
import type { AssertionUsesPort } from '../../services/federation/ports/assertion-uses.ts';
import type { ItemService, ItemServiceOptions, startItemService as StartItemService } from '../../services/platform/http/fixture/item-service.ts';
import { createAuthority, stackCertificate, type CertificateAndKey } from './certificate.ts';
import type { PeerCaller, PeerTarget } from './peer-caller.ts';

/** Of the product, or of a build that carries a mutant. */
export interface DoorBuild {
  readonly startItemService: typeof StartItemService;
  readonly createPeerIdentity: typeof CreatePeerIdentity;
}

export interface PeerDoor {
  readonly service: ItemService;
  readonly target: PeerTarget;
  readonly peer: PeerCaller;
  readonly authority: CertificateAndKey;
  /** What the peer may do, from now on; null: it is no peer. */
  rules: PeerTrustRules | null;
  close(): Promise<void>;
}

export async function startPeerDoor(build: DoorBuild, uses: AssertionUsesPort, options: ItemServiceOptions = {}): Promise<PeerDoor> {
  const authority = await createAuthority('of a test');
  const own = await stackCertificate(authority, 'stk_b');
  const rulesOf = (): PeerTrustRules | null => door.rules;
  const service = await build.startItemService({
    ...options,
    tls: {
      current: () => ({ ...own, ca: authority.cert, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET }),
      subscribe: () => () => undefined,
    },
    makeIdentity: () => build.createPeerIdentity({
      verifier: { ownStackId: 'stk_b', ownHosts: new Set(), isPeer: (stackId) => stackId === 'stk_a' && door.rules !== null, authorityOf: () => door.rules?.authority ?? null, authorities: () => [] },
      rulesOf, uses,
    }),
  });
  const door: PeerDoor = {
    service, authority,
    target: { stackId: 'stk_b', url: service.url, authority: authority.cert },
    peer: { stackId: 'stk_a', certificate: await stackCertificate(authority, 'stk_a') },
    rules: { tenants: 'all', scopes: null, authority: null },
    close: () => service.server.close(),
  };
  return door;
}
