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

/** The major of every port's contract that this version speaks. */
export const PORT_CONTRACT_MAJOR = 1;

/**
 * Refuses an adapter that was written for another major of its port's contract: it would fail later, in the middle of
 * somebody's run. @throws Error that names the port, the adapter and both versions.
 */
export function requireContract(port: string, { adapter, contractVersion }: Pick<PortCapabilities, 'adapter' | 'contractVersion'>): void {
  const major = /^(\d+)\.\d+$/.exec(contractVersion)?.[1];
  if (major === String(PORT_CONTRACT_MAJOR)) return;
  throw new Error(
    `The adapter '${adapter}' speaks version ${contractVersion} of the port ${port}; this AgentOS speaks ${PORT_CONTRACT_MAJOR}.x. ` +
      'Use an adapter of that version; `agentos conformance` says whether it fits.',
  );
}
