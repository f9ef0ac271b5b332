/**
 * AssertionUsesPort: which assertions of peers were used already. An assertion is good for one request on any process of
 * this node, so what one process has seen the others must know. It belongs to the node and to no tenant: a used
 * assertion is refused whomever it speaks for.
 */
import type { PortCapabilities } from '../../platform/port.ts';

export interface AssertionUse {
  /** Stack id. */
  readonly issuer: string;
  /** The assertion's own id; each issuer has ids of its own. */
  readonly jti: string;
  /** Milliseconds since the epoch. What has expired is refused for that, so its use may be forgotten a while after. */
  readonly expiresAtMs: number;
}

export interface AssertionUsesPort {
  capabilities(): PortCapabilities;
  /**
   * Notes the use and answers true; false where it is noted already. Of any number of simultaneous calls for one
   * assertion exactly one answers true. @throws AgentOsError dependency_unavailable: then nobody knows, and the
   * assertion must not be believed.
   */
  use(use: AssertionUse): Promise<boolean>;
}
