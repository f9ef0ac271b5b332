/** Roll-backs of this process, gone with it. */
import type { PortCapabilities } from '../../platform/port.ts';
import type { CanaryRollBack, CanaryStatePort } from '../ports/canary-state.ts';

export class MemoryCanaryState implements CanaryStatePort {
  readonly #known = new Map<string, CanaryRollBack>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async rolledBack(): Promise<readonly CanaryRollBack[]> {
    return [...this.#known.values()];
  }

  async rollBack(rollBack: CanaryRollBack): Promise<CanaryRollBack> {
    const key = `${rollBack.name} ${rollBack.version}`;
    const known = this.#known.get(key) ?? { ...rollBack };
    this.#known.set(key, known);
    return known;
  }
}
