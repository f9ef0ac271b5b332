/**
 * What a rule set says about texts (PRS 6.3). Pure: rules and text in, decision out.
 *
 * A `Judgement` gathers over all texts of one call, first of its request, then of its answer. Blocking beats redacting
 * beats allowing. Reasons name the matter and the rule, redactions the kind, the place and the number; neither ever
 * holds a piece of the text.
 */
import type { PolicyContext } from '../../platform/tenancy/auth-context.ts';
import type { PiiKind, PolicyRuleSet } from '../ports/policy-rules.ts';
import { compileRules, type CompiledRules, type CompiledText, type Direction } from './compile-rules.ts';
import { detect, newDetectState, type DetectState } from './detect.ts';
import { refusedBackend, refusedModel, refusedTool, type JudgedModel, type JudgedTool, type Refusal } from './permissions.ts';
import { MAX_SEGMENT } from './segments.ts';
import { StreamRedactor } from './stream-redactor.ts';

export type PolicyDecision = 'allowed' | 'blocked' | 'redacted';

export interface Redaction {
  readonly type: PiiKind;
  /** JSON pointer to the member that held it, e.g. `/input/messages/0/content`. */
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

/** Reasons that begin so name a rule of the tenant. */
export const RULE_REASON = 'rule:';

/** Milliseconds of work that one call may ask of the guard; patterns are linear, so this is far beyond any real text. */
const GUARD_BUDGET_MS = 2_000;
/** Below this many characters time is not worth measuring. */
const TIMED_LENGTH = 4_096;

export interface Caller {
  /** `entitlements.tool_ids_allowed` of the tenant; null: all. */
  readonly toolsEntitled: readonly string[] | null;
  readonly context: PolicyContext;
}

const ANYONE: Caller = { toolsEntitled: null, context: {} };

export class Judgement {
  private blocked = false;
  private direction: Direction = 'request';
  private spentMs = 0;
  // Most calls give no reason and redact nothing.
  private reasons: Set<string> | null = null;
  private redactions: Map<string, { type: PiiKind; place: string; count: number }> | null = null;
  private readonly compiled: CompiledRules;
  private readonly caller: Caller;

  constructor(rules: PolicyRuleSet, caller: Caller = ANYONE) {
    this.compiled = compileRules(rules);
    this.caller = caller;
  }

  /** From here on rules for answers hold. */
  turnToAnswer(): void {
    this.direction = 'response';
  }

  /** Tokens of one call by the rules; null: no limit. */
  get maxTokens(): CompiledRules['maxTokens'] {
    return this.compiled.maxTokens;
  }

  /** Whether texts pass unread. */
  get isIdle(): boolean {
    return this.rules.isIdle;
  }

  private get rules(): CompiledText {
    return this.compiled.text[this.direction];
  }

  /** The text as it may go on. Once something is blocked the text no longer matters, since the call ends. */
  text(text: string, place: string): string {
    if (this.rules.isIdle || text === '') return text;
    if (text.length <= MAX_SEGMENT) return this.segment(text, place, newDetectState());
    const redactor = this.redactor(place);
    return redactor.feed(text) + redactor.flush();
  }

  /**
   * A name that a model is shown and that something else goes by, such as that of a tool. With a part of it taken out it
   * would name another thing, so what would be redacted elsewhere is blocked here.
   */
  identifier(name: string, place: string): void {
    if (this.rules.isIdle) return;
    // Words of a name are joined by what stands in names.
    const spoken = /[_.-]/.test(name) ? `${name} ${name.replaceAll(/[_.-]+/g, ' ')}` : name;
    if (this.text(spoken, place) !== spoken) this.block('identifier_not_redactable');
  }

  /** For a text that comes in pieces. */
  redactor(place: string): StreamRedactor {
    return new StreamRedactor(this.rules, (segment, state) => this.segment(segment, place, state), newDetectState());
  }

  private segment(text: string, place: string, state: DetectState): string {
    const started = text.length < TIMED_LENGTH ? null : performance.now();
    const { kinds, terms, pii } = this.rules;
    if (!terms.isEmpty) for (const ruleId of terms.blocking(text)) this.block('denied_term', ruleId);
    let out = '';
    let from = 0;
    for (const { kind, start, end } of detect(text, kinds, state)) {
      const { action, ruleId } = pii.get(kind)!;
      if (action === 'block') {
        this.block(`pii.${kind}.blocked`, ruleId);
        continue;
      }
      out += text.slice(from, start) + placeholder(kind);
      from = end;
      this.redact(kind, place, ruleId);
    }
    if (started !== null) this.spend(performance.now() - started);
    return from === 0 ? text : out + text.slice(from);
  }

  private spend(ms: number): void {
    this.spentMs += ms;
    if (this.spentMs > GUARD_BUDGET_MS) throw new Error(`The guard has worked for ${Math.round(this.spentMs)} ms on one call, which is more than it may.`);
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

  /** Why the model may not be used for this call, null when it may. */
  refusalOf(model: JudgedModel): Refusal | null {
    const { models, attributes } = this.compiled;
    return (models.length === 0 ? null : refusedModel(models, model)) ?? (attributes.length === 0 ? null : refusedBackend(attributes, model, this.caller.context));
  }

  /** A tool that is offered to a model, or that an answer calls. */
  tool(tool: JudgedTool): void {
    const { toolsEntitled } = this.caller;
    if (toolsEntitled === null && this.compiled.tools.length === 0) return;
    const refusal = refusedTool(this.compiled.tools, toolsEntitled, tool);
    if (refusal !== null) this.block(refusal.reason, refusal.ruleId);
  }

  /** A finding that is no text, such as a limit. */
  block(reason: string, ruleId: string | null = null): void {
    this.blocked = true;
    this.note(reason, ruleId);
  }

  /** Something worth telling that changes no decision. */
  note(reason: string, ruleId: string | null = null): void {
    this.reasons ??= new Set();
    this.reasons.add(reason);
    if (ruleId !== null) this.reasons.add(`${RULE_REASON}${ruleId}`);
  }

  get isBlocked(): boolean {
    return this.blocked;
  }

  verdict(): PolicyVerdict {
    if (!this.blocked && this.redactions === null) return this.reasons === null ? ALLOWED : { decision: 'allowed', reasons: [...this.reasons], redactions: [] };
    return {
      decision: this.blocked ? 'blocked' : 'redacted',
      reasons: [...(this.reasons ?? [])],
      redactions: [...(this.redactions?.values() ?? [])],
    };
  }

  private redact(type: PiiKind, place: string, ruleId: string): void {
    this.note(`pii.${type}.redacted`, ruleId);
    const key = `${type} ${place}`;
    this.redactions ??= new Map();
    const entry = this.redactions.get(key);
    if (entry === undefined) this.redactions.set(key, { type, place, count: 1 });
    else entry.count += 1;
  }
}
