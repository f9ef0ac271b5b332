/**
 * ForwardIndexPort: which runs of a tenant live on which node (PRS 7.3, 7.4). A forward is written down before the
 * other node hears of it, so that a process that dies in between, or an answer that is lost, leads to the same remote
 * run when it is asked for again. Every key begins with the tenant.
 */
import type { FederationForwardRequest } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

export interface NewForward {
  /** `fwd_…`, made here. */
  readonly forwardId: string;
  readonly targetStackId: string;
  readonly run: FederationForwardRequest['forward']['run_request'];
  readonly correlationId: string;
  /** The caller's key and SHA-256 of the canonical request; null: the caller gave none. Its scope is tenant, principal, agent. */
  readonly idempotency: { readonly key: string; readonly requestHash: string } | null;
}

export interface ForwardRecord extends NewForward {
  readonly tenantId: string;
  readonly principalId: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Where it went; null until a node has answered. */
  readonly remote: { readonly runId: string; readonly eventsUrl: string } | null;
}

export type BeginForward =
  | { readonly outcome: 'new'; readonly forward: ForwardRecord }
  /** The key was used with the same request: its forward, finished or not. */
  | { readonly outcome: 'repeated'; readonly forward: ForwardRecord }
  /** The key was used with another request. */
  | { readonly outcome: 'key_reused' };

export interface ForwardIndexPort {
  capabilities(): PortCapabilities;
  /** Durable when it resolves. Of any number of simultaneous calls with one key exactly one answers `new`. @throws AgentOsError dependency_unavailable. */
  begin(auth: AuthContext, forward: NewForward): Promise<BeginForward>;
  /** Records where the forward went, once; a second call with the same remote changes nothing. @throws AgentOsError not_found, conflict, dependency_unavailable. */
  complete(auth: AuthContext, forwardId: string, remote: { readonly runId: string; readonly eventsUrl: string }): Promise<ForwardRecord>;
  /** Gives up a forward that the other node refused: the key is free again. Idempotent. */
  abandon(auth: AuthContext, forwardId: string): Promise<void>;
  /** null: no such run was forwarded for this tenant. */
  findByRun(auth: AuthContext, remoteRunId: string): Promise<ForwardRecord | null>;
}
