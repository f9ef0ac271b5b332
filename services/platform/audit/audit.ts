/**
 * AuditPort: the log of who did what (PRS 10.3, 4.3; HLD 10). It only grows.
 *
 * Adapters of other ports write the record of a deed in the deed's own transaction (`audit-trail.ts`); `append` is for
 * what has no transaction: refusals, reads that are themselves recorded.
 */
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuditEntry, AuditOutcome, AuditRow } from './audit-row.ts';
import type { ChainedRecord, ChainName } from './chain.ts';

/** A record as it is answered: its entry, with null (no roles, no details) for what it has not, and its place in its chain. */
export interface AuditRecord {
  readonly audit_id: string;
  readonly action: string;
  readonly outcome: AuditOutcome;
  readonly principal: AuditEntry['principal'] | null;
  readonly roles: readonly string[];
  readonly policy_context: AuditEntry['policy_context'] | null;
  readonly resource: AuditEntry['resource'] | null;
  readonly correlation_id: string | null;
  readonly operation: string | null;
  readonly source: string | null;
  readonly decision: AuditEntry['decision'] | null;
  readonly route: AuditEntry['route'] | null;
  readonly peer: string | null;
  readonly details: AuditEntry['details'];
  readonly tenant_id: string;
  readonly service: string;
  readonly sequence: number;
  /** RFC 3339 with microseconds; never earlier than that of the record before it in the chain. */
  readonly recorded_at: string;
  readonly previous_hash: string;
  readonly hash: string;
}

/** All that are given must hold. */
export interface AuditFilter {
  /** RFC 3339; inclusive. */
  readonly from?: string;
  /** RFC 3339; exclusive. */
  readonly to?: string;
  readonly action?: string;
  readonly outcome?: AuditOutcome;
  readonly principalId?: string;
  readonly resourceType?: string;
  readonly resourceId?: string;
  readonly correlationId?: string;
  readonly service?: string;
}

/** For each service how far a listing has come: the sequence that it goes on below (newest first) or above. */
export type AuditPosition = Readonly<Record<string, number>>;

export interface AuditQuery extends AuditFilter {
  readonly limit: number;
  /** Of the page before. */
  readonly after?: AuditPosition;
}

export interface AuditPage {
  /** Newest first, over all services. */
  readonly records: readonly AuditRecord[];
  /** null: nothing follows. A page may hold fewer than `limit`, even none, and still name where to go on: a search looks at a bounded number of records at a time. */
  readonly next: AuditPosition | null;
}

/** The end of a chain as the store keeps it. */
export interface ChainHead extends ChainName {
  readonly sequence: number;
  readonly hash: string;
}

export interface AuditPort {
  capabilities(): PortCapabilities;
  /**
   * Appends, all or none, each record to the chain its row names.
   * @param auth the tenant that acts; rows may stand in others' chains.
   * @throws AgentOsError dependency_unavailable.
   */
  append(auth: AuthContext | null, rows: readonly AuditRow[]): Promise<void>;
  /** Records of `auth.tenant_id` alone. */
  list(auth: AuthContext, query: AuditQuery): Promise<AuditPage>;
  /** Records of `auth.tenant_id`, oldest first over all services, as lines of JSON (each without its line break) that can be verified by themselves (`audit-record.ts`). */
  export(auth: AuthContext, filter: AuditFilter, signal?: AbortSignal): AsyncIterable<string>;
  /** The chains of a tenant, or of all tenants; for verification. */
  heads(tenantId: string | null): Promise<readonly ChainHead[]>;
  /** A chain from its first record on, as stored, in order of sequence; for verification. */
  chain(name: ChainName): AsyncIterable<ChainedRecord>;
}
