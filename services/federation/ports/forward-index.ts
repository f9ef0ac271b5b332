/**
 * ForwardIndexPort: which runs of a tenant live on which node (PRS 7.3, 7.4). A forward is written down before the
 * other node hears of it, so that a process that dies in between, or an answer that is lost, leads to the same remote
 * run when it is asked for again. Every key begins with the tenant.
 */
import type { FederationForwardRequest, Run } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

/** The caller's key and SHA-256 of the canonical request. Its scope is tenant, principal, agent. */
export interface ForwardKey {
  readonly key: string;
  readonly requestHash: string;
}

export interface NewForward {
  /** `fwd_…`, made here. */
  readonly forwardId: string;
  readonly targetStackId: string;
  readonly run: FederationForwardRequest['forward']['run_request'];
  readonly correlationId: string;
  /** null: the caller gave none. Once its time is over it is as free as one that was never used. */
  readonly idempotency: (ForwardKey & { readonly ttlHours: number }) | null;
}

/** Where a forward went, as the node answered the first time. */
export interface ForwardedTo {
  readonly runId: string;
  readonly eventsUrl: string;
  readonly status: Run['status'];
}

export interface ForwardRecord {
  readonly forwardId: string;
  readonly tenantId: string;
  readonly principalId: string;
  readonly agentId: string;
  readonly targetStackId: string;
  /** Of the request that began it. */
  readonly correlationId: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** null until a node has answered. */
  readonly remote: ForwardedTo | null;
}

export type BeginForward =
  | { readonly outcome: 'new'; readonly forward: ForwardRecord }
  /** The key was used with the same request: its forward, finished or not. */
  | { readonly outcome: 'repeated'; readonly forward: ForwardRecord }
  /** The key was used with another request. */
  | { readonly outcome: 'key_reused' };

export interface ForwardIndexPort {
  capabilities(): PortCapabilities;
  /** What stands under a key, without beginning anything: a repeated forward goes where the first one went. null: the key is free. */
  find(auth: AuthContext, agentId: string, idempotency: ForwardKey): Promise<Exclude<BeginForward, { readonly outcome: 'new' }> | null>;
  /** Durable when it resolves. Of any number of simultaneous calls with one key exactly one answers `new`. @throws AgentOsError dependency_unavailable. */
  begin(auth: AuthContext, forward: NewForward): Promise<BeginForward>;
  /**
   * Records where the forward went, once: a second call with the same run changes nothing and answers what the first one
   * recorded. A run belongs to one forward. @throws AgentOsError not_found, conflict, dependency_unavailable.
   */
  complete(auth: AuthContext, forwardId: string, remote: ForwardedTo): Promise<ForwardRecord>;
  /**
   * Gives up a forward that the other node refused: its key is free again. One that is complete stays as it is, and one
   * that was given up may still be completed: another request under the same key was answered differently. Idempotent.
   */
  abandon(auth: AuthContext, forwardId: string): Promise<void>;
  /** null: no such run was forwarded for this tenant. */
  findByRun(auth: AuthContext, remoteRunId: string): Promise<ForwardRecord | null>;
  /** Forgets, over all tenants, at most `limit` forwards that began before. RFC 3339. Answers how many went. */
  deleteExpired(before: string, limit: number): Promise<number>;
}
