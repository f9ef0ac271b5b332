/** How a model is chosen among those that could serve, as the models file says it under `routing`. */

export interface CanaryRule {
  readonly name: string;
  /** Model ids. */
  readonly model: string;
  readonly canary: string;
  /** Of the keys, 0 to 100. */
  readonly percent: number;
  readonly key: 'tenant' | 'agent' | 'principal';
  /** null: all. */
  readonly tenants: ReadonlySet<string> | null;
  readonly gates: { readonly maxErrorRate: number | null; readonly maxP95Ms: number | null; readonly minSamples: number };
  readonly isPaused: boolean;
  /** Changes with the rule, so that a roll-back of an earlier form does not hold for it. */
  readonly version: string;
}

export interface RoutingRules {
  /** `order`: as the catalogue has them, which is the order of the environment's backends. */
  readonly choose: 'order' | 'quality' | 'cost' | 'latency';
  /** Model ids by model id or `tier:<name>`. */
  readonly fallback: ReadonlyMap<string, readonly string[]>;
  readonly canaries: readonly CanaryRule[];
}

export const NO_ROUTING: RoutingRules = { choose: 'order', fallback: new Map(), canaries: [] };
