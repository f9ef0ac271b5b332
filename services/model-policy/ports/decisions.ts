/** DecisionsPort: what was decided about each model call, and why, for who asks later. It never holds what was said. */
import type { ModelDecision } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

export interface DecisionQuery {
  /** At most. */
  readonly limit: number;
  /** A decision_id; the answer goes on behind it. */
  readonly after?: string;
  readonly decision?: 'allowed' | 'blocked' | 'redacted';
  /** The model that served. */
  readonly model?: string;
  /** Inclusive and exclusive, milliseconds since the epoch. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** @throws AgentOsError dependency_unavailable when the store cannot answer. */
export interface DecisionsPort {
  capabilities(): PortCapabilities;
  /**
   * Keeps a decision of the tenant. Resolves once this process may go without it being lost; whoever reads, here or in
   * another process, finds it. The same decision_id
   * again changes nothing, so a record whose fate is unknown can be sent again.
   */
  record(auth: AuthContext, decision: ModelDecision): Promise<void>;
  /** The newest under this request_id. @throws AgentOsError not_found. */
  get(auth: AuthContext, requestId: string): Promise<ModelDecision>;
  /** Newest first. */
  list(auth: AuthContext, query: DecisionQuery): Promise<{ readonly decisions: readonly ModelDecision[]; readonly hasMore: boolean }>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}
