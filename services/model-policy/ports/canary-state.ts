/**
 * CanaryStatePort: which canaries were rolled back, for all processes of a node. It belongs to the node and to no
 * tenant: a canary is a matter of its operator.
 */
import type { PortCapabilities } from '../../platform/port.ts';

export interface CanaryRollBack {
  readonly name: string;
  /** Of the rule that was rolled back; another version of it starts anew. */
  readonly version: string;
  /** e.g. `error_rate 0.12 > 0.02`. */
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** @throws AgentOsError dependency_unavailable when the store cannot answer. */
export interface CanaryStatePort {
  capabilities(): PortCapabilities;
  /** All that stand. */
  rolledBack(): Promise<readonly CanaryRollBack[]>;
  /** Answers the roll-back that stands: the first one wins. */
  rollBack(rollBack: CanaryRollBack): Promise<CanaryRollBack>;
}
