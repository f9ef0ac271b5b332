/** The egress rules of this node, from its configuration. */
import { ConfigError } from '../config/load.ts';
import { EgressPolicy } from './egress-policy.ts';

/** @throws ConfigError that names the entry which cannot be read. */
export function configuredEgress(values: { readonly AGENTOS_EGRESS_ALLOW: readonly string[]; readonly AGENTOS_EGRESS_PORTS: readonly string[] }): EgressPolicy {
  const part = (name: 'AGENTOS_EGRESS_ALLOW' | 'AGENTOS_EGRESS_PORTS', options: ConstructorParameters<typeof EgressPolicy>[0]): EgressPolicy => {
    try {
      return new EgressPolicy(options);
    } catch (error) {
      throw new ConfigError(name, `${name}: ${(error as Error).message}`);
    }
  };
  part('AGENTOS_EGRESS_PORTS', { ports: values.AGENTOS_EGRESS_PORTS });
  return part('AGENTOS_EGRESS_ALLOW', { allow: values.AGENTOS_EGRESS_ALLOW, ports: values.AGENTOS_EGRESS_PORTS });
}
