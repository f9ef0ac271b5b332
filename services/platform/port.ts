/**
 * What every adapter of every port declares (architecture §3). The conformance suites hold adapters to it:
 * a capability that is declared is exercised, one that is not declared must be refused.
 */
export interface PortCapabilities {
  /** The adapter's own name, e.g. `postgres`, `memory`. */
  readonly adapter: string;
  /** Version of the port's contract that the adapter was written for, e.g. `1.0`. The major must match. */
  readonly contractVersion: string;
  /** What survives the process: nothing, or everything acknowledged. */
  readonly durable: boolean;
  /** Named features, e.g. `vector_search`; each port lists the ones it knows. */
  readonly features: readonly string[];
}
