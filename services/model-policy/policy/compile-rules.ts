/** A rule set made ready for judging. */
import type { PolicyRuleAttributes, PolicyRuleModels, PolicyRuleTools } from '../../../generated/types/index.ts';
import { PII_KINDS, type PiiKind, type PolicyRule, type PolicyRuleSet } from '../ports/policy-rules.ts';
import { TermMatcher } from './terms.ts';

export type Direction = 'request' | 'response';

export interface PiiAction {
  readonly action: 'redact' | 'block';
  readonly ruleId: string;
}

export interface CompiledText {
  readonly kinds: ReadonlySet<PiiKind>;
  readonly pii: ReadonlyMap<PiiKind, PiiAction>;
  readonly terms: TermMatcher;
  /** Whether text of this direction passes unread. */
  readonly isIdle: boolean;
}

export interface CompiledRules {
  readonly text: Readonly<Record<Direction, CompiledText>>;
  readonly models: readonly PolicyRuleModels[];
  readonly tools: readonly PolicyRuleTools[];
  readonly attributes: readonly PolicyRuleAttributes[];
  /** Tokens of one call, input and output together. */
  readonly maxTokens: { readonly max: number; readonly ruleId: string } | null;
}

/** Rule sets are immutable and their adapters give the same object until it changes, so each version is compiled once and forgotten with it. */
const compiledRules = new WeakMap<PolicyRuleSet, CompiledRules>();

export function compileRules(set: PolicyRuleSet): CompiledRules {
  let compiled = compiledRules.get(set);
  if (compiled === undefined) compiledRules.set(set, (compiled = compile(set.rules)));
  return compiled;
}

function compile(rules: readonly PolicyRule[]): CompiledRules {
  const limit = ofKind(rules, 'max_tokens')[0];
  return {
    text: { request: compileText(rules, 'request'), response: compileText(rules, 'response') },
    models: ofKind(rules, 'models'),
    tools: ofKind(rules, 'tools'),
    attributes: ofKind(rules, 'attributes'),
    maxTokens: limit === undefined ? null : { max: limit.max, ruleId: limit.id },
  };
}

function compileText(rules: readonly PolicyRule[], direction: Direction): CompiledText {
  const speaks = (rule: { readonly direction?: string }): boolean => rule.direction === undefined || rule.direction === 'both' || rule.direction === direction;
  const pii = new Map<PiiKind, PiiAction>();
  const decided = new Set<PiiKind>();
  for (const { id, types, action } of ofKind(rules, 'pii').filter(speaks)) {
    for (const kind of types === 'all' ? PII_KINDS : (types as readonly PiiKind[])) {
      if (decided.has(kind)) continue;
      decided.add(kind);
      if (action !== 'allow') pii.set(kind, { action, ruleId: id });
    }
  }
  const terms = new TermMatcher(ofKind(rules, 'terms').filter(speaks));
  return { kinds: new Set(pii.keys()), pii, terms, isIdle: pii.size === 0 && terms.isEmpty };
}

function ofKind<Kind extends PolicyRule['kind']>(rules: readonly PolicyRule[], kind: Kind): Extract<PolicyRule, { readonly kind: Kind }>[] {
  return rules.filter((rule): rule is Extract<PolicyRule, { readonly kind: Kind }> => rule.kind === kind);
}
