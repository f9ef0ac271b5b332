/** What a node says of a caller when it calls another node. The trust owner fills this file; see docs/adr. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

export interface AssertionRequest {
  /** Stack id of the node that is called. */
  readonly audience: string;
  readonly auth: AuthContext;
  readonly method: string;
  /** Absolute URL with its query, as requested. */
  readonly url: string;
  /** The bytes of the body; null where there is none. */
  readonly body: Uint8Array | null;
}

/** Signs with the key of this node's client certificate; each assertion is used once. */
export interface PeerAssertions {
  issue(request: AssertionRequest): Promise<string>;
}
