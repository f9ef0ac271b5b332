/**
 * What a rule set says about texts (PRS 6.3). Pure: rules and text in, decision out.
 *
 * A `Judgement` gathers over all texts of one call. Blocking beats redacting beats allowing. Reasons name the rule,
 * redactions the kind, the place and the number; neither ever holds a piece of the text.
 */
import type { PiiKind, PolicyRuleSet } from '../ports/policy-rules.ts';
import { detect } from './detect.ts';

export type PolicyDecision = 'allowed' | 'blocked' | 'redacted';

export interface Redaction {
  readonly type: PiiKind;
  /** The member that held it, e.g. `input.messages[0].content`. */
  readonly place: string;
  readonly count: number;
}

export interface PolicyVerdict {
  readonly decision: PolicyDecision;
  readonly reasons: readonly string[];
  readonly redactions: readonly Redaction[];
}

export const ALLOWED: PolicyVerdict = { decision: 'allowed', reasons: [], redactions: [] };

/** What stands in place of a finding. */
export function placeholder(kind: PiiKind): string {
  return `[redacted:${kind}]`;
}

interface CompiledRules {
  readonly kinds: ReadonlySet<PiiKind>;
  readonly terms: RegExp | null;
}

/** Rule sets are immutable and few; each is compiled once. */
const compiledRules = new WeakMap<PolicyRuleSet, CompiledRules>();

function compile(rules: PolicyRuleSet): CompiledRules {
  let compiled = compiledRules.get(rules);
  if (compiled === undefined) {
    const terms = rules.deniedTerms.map(fold).filter((term) => term !== '').map((term) => term.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/\s+/g, '\\s+'));
    compiled = {
      kinds: new Set(Object.keys(rules.pii) as PiiKind[]),
      terms: terms.length === 0 ? null : new RegExp(`(?<![\\p{L}\\p{N}_])(?:${terms.join('|')})(?![\\p{L}\\p{N}_])`, 'u'),
    };
    compiledRules.set(rules, compiled);
  }
  return compiled;
}

/** Case, width and invisible characters do not hide a term. */
function fold(text: string): string {
  return text.normalize('NFKC').replace(/[\u00ad\u200b-\u200f\u2060\ufeff]/g, '').toLowerCase();
}

export class Judgement {
  private blocked = false;
  private readonly reasons = new Set<string>();
  private readonly redactions = new Map<string, { type: PiiKind; place: string; count: number }>();
  private readonly rules: PolicyRuleSet;
  private readonly compiled: CompiledRules;

  constructor(rules: PolicyRuleSet) {
    this.rules = rules;
    this.compiled = compile(rules);
  }

  /** The text as it may go on. Once something is blocked the text no longer matters, since the call ends. */
  text(text: string, place: string): string {
    if (this.compiled.terms !== null && this.compiled.terms.test(fold(text))) this.block('denied_term');
    const findings = detect(text, this.compiled.kinds);
    if (findings.length === 0) return text;
    let out = '';
    let from = 0;
    for (const { kind, start, end } of findings) {
      if (this.rules.pii[kind] === 'block') {
        this.block(`pii.${kind}.blocked`);
        continue;
      }
      out += text.slice(from, start) + placeholder(kind);
      from = end;
      this.redact(kind, place);
    }
    return out + text.slice(from);
  }

  /** Every string in a JSON value, its keys, and its long numbers; unchanged values come back as they are. */
  value(value: unknown, place: string): unknown {
    if (typeof value === 'string') return this.text(value, place);
    if (typeof value === 'number') {
      if (!Number.isInteger(value) || Math.abs(value) < 1e7) return value;
      const text = String(value);
      const judged = this.text(text, place);
      return judged === text ? value : judged;
    }
    if (Array.isArray(value)) return value.map((item) => this.value(item, place));
    if (typeof value !== 'object' || value === null) return value;
    const out: Record<string, unknown> = {};
    for (const [key, member] of Object.entries(value)) {
      Object.defineProperty(out, this.text(key, place), { value: this.value(member, place), enumerable: true, writable: true, configurable: true });
    }
    return out;
  }

  /** A finding that is no text, such as a limit. */
  block(reason: string): void {
    this.blocked = true;
    this.reasons.add(reason);
  }

  /** Something worth telling that changes no decision. */
  note(reason: string): void {
    this.reasons.add(reason);
  }

  get isBlocked(): boolean {
    return this.blocked;
  }

  verdict(): PolicyVerdict {
    if (!this.blocked && this.redactions.size === 0) return this.reasons.size === 0 ? ALLOWED : { decision: 'allowed', reasons: [...this.reasons], redactions: [] };
    return {
      decision: this.blocked ? 'blocked' : 'redacted',
      reasons: [...this.reasons],
      redactions: [...this.redactions.values()],
    };
  }

  private redact(type: PiiKind, place: string): void {
    this.reasons.add(`pii.${type}.redacted`);
    const key = `${type} ${place}`;
    const entry = this.redactions.get(key);
    if (entry === undefined) this.redactions.set(key, { type, place, count: 1 });
    else entry.count += 1;
  }
}
