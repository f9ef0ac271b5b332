/**
 * What a PromQL expression asks for, held against what is exposed. It is read with the grammar of Prometheus' own editor;
 * the labels of each part are worked out as Prometheus does it, so that a label which an aggregation has dropped, or
 * which a metric never had, is found where it is used.
 */
import { parser } from '@prometheus-io/lezer-promql';
import type { SyntaxNode } from '@lezer/common';
import type { Exposed, Labels } from './exposition.ts';

export interface Answer {
  /** Labels of the result, with the values that they may have. */
  readonly labels: Labels;
  /** Names of the metrics that are asked for. */
  readonly metrics: ReadonlySet<string>;
}

/** @throws Error that names the place, when the expression cannot be read or asks for what is not exposed. */
export function check(expression: string, exposed: Exposed): Answer {
  const { topNode } = parser.parse(expression);
  const reader = new Reader(expression, exposed);
  reader.requireReadable(topNode);
  return { labels: reader.labelsOf(topNode), metrics: reader.metrics };
}

const KEEPS_LABELS = new Set(['PromQL', 'ParenExpr', 'StepInvariantExpr', 'OffsetExpr', 'SubqueryExpr', 'MatrixSelector', 'UnaryExpr', 'FunctionCallBody']);
const NO_LABELS = new Set(['NumberDurationLiteral', 'StringLiteral']);
const SET_OPERATORS = new Set(['And', 'Or', 'Unless']);

class Reader {
  readonly metrics = new Set<string>();
  readonly #expression: string;
  readonly #exposed: Exposed;

  constructor(expression: string, exposed: Exposed) {
    this.#expression = expression;
    this.#exposed = exposed;
  }

  requireReadable(top: SyntaxNode): void {
    top.cursor().iterate((node) => {
      if (node.type.isError) throw new Error(`Not PromQL at ${node.from}: ${this.#expression}`);
    });
  }

  labelsOf(node: SyntaxNode): Labels {
    if (NO_LABELS.has(node.name)) return new Map();
    if (node.name === 'VectorSelector') return this.#selector(node);
    if (node.name === 'AggregateExpr') return this.#aggregation(node);
    if (node.name === 'FunctionCall') return this.#call(node);
    if (node.name === 'BinaryExpr') return this.#binary(node);
    if (!KEEPS_LABELS.has(node.name)) throw new Error(`${node.name} is not understood: ${this.#text(node)}`);
    return this.labelsOf(this.#parts(node)[0]!);
  }

  /** Expressions right below a node, whatever grammar stands between. */
  #parts(node: SyntaxNode): SyntaxNode[] {
    const isExpression = ({ name }: SyntaxNode): boolean => KEEPS_LABELS.has(name) || NO_LABELS.has(name) || ['VectorSelector', 'AggregateExpr', 'FunctionCall', 'BinaryExpr'].includes(name);
    return childrenOf(node).filter(isExpression);
  }

  #selector(node: SyntaxNode): Labels {
    const matchers = childrenOf(node).flatMap((child) => (child.name === 'LabelMatchers' ? childrenOf(child) : [])).map((matcher) => this.#matcher(matcher));
    const named = node.getChild('Identifier');
    const name = named === null ? matchers.find(({ label }) => label === '__name__')?.value : this.#text(named);
    const labels = name === undefined ? undefined : this.#exposed.get(name);
    if (name === undefined || labels === undefined) throw new Error(`Nothing exposes ${name ?? this.#text(node)}, which is asked for in: ${this.#expression}`);
    this.metrics.add(name);
    for (const { label, operator, value } of matchers) {
      if (label === '__name__') continue;
      this.#requireLabel(label, labels, name);
      if (operator === 'EqlSingle' && !value.includes('$') && !valuesOf(labels, label).has(value)) throw new Error(`${name} never has ${label}="${value}" but ${[...valuesOf(labels, label)].slice(0, 8).join(', ')}: ${this.#expression}`);
    }
    return labels;
  }

  #matcher(node: SyntaxNode): { readonly label: string; readonly operator: string; readonly value: string } {
    const [name, operator, value] = childrenOf(node);
    return { label: this.#text(name!), operator: operator!.firstChild!.name, value: JSON.parse(this.#text(value!)) as string };
  }

  #aggregation(node: SyntaxNode): Labels {
    const [body, modifier] = [node.getChild('FunctionCallBody')!, node.getChild('AggregateModifier')];
    // topk and quantile take a number first.
    const inner = this.labelsOf(this.#parts(body).at(-1)!);
    const operation = this.#text(node.getChild('AggregateOp')!);
    if (modifier === null) return operation === 'topk' || operation === 'bottomk' ? inner : new Map();
    const named = this.#names(modifier);
    if (modifier.getChild('By') === null) return only(inner, (label) => !named.includes(label));
    for (const label of named) this.#requireLabel(label, inner, this.#text(body));
    return only(inner, (label) => named.includes(label));
  }

  #call(node: SyntaxNode): Labels {
    const name = this.#text(node.getChild('FunctionIdentifier')!);
    const parts = this.#parts(node.getChild('FunctionCallBody')!);
    const labels = parts.map((part) => this.labelsOf(part));
    if (name === 'histogram_quantile') {
      this.#requireLabel('le', labels[1]!, this.#text(parts[1]!));
      return only(labels[1]!, (label) => label !== 'le');
    }
    if (['vector', 'scalar', 'time', 'absent'].includes(name)) return new Map();
    if (name === 'label_replace' || name === 'label_join') throw new Error(`${name} is not understood: ${this.#expression}`);
    return labels.find((each) => each.size > 0) ?? new Map<string, Set<string>>();
  }

  #binary(node: SyntaxNode): Labels {
    const [left, right] = this.#parts(node).map((part) => this.labelsOf(part)) as [Labels, Labels];
    const operator = childrenOf(node).find(({ name }) => SET_OPERATORS.has(name))?.name;
    const matching = node.getChild('MatchingModifierClause');
    const groups = matching?.getChildren('GroupingLabels') ?? [];
    const on = matching === null || matching.getChild('On') === null ? null : this.#names(groups[0]!);
    for (const label of on ?? []) for (const [side, labels] of [['left', left], ['right', right]] as const) this.#requireLabel(label, labels, `the ${side} of ${this.#text(node)}`);
    if (operator === 'Or') return new Map([...right, ...left]);
    if (operator !== undefined) return left;
    const [first, second] = this.#parts(node) as [SyntaxNode, SyntaxNode];
    if (isNumber(first)) return right;
    if (isNumber(second)) return left;
    if (on !== null) return matching!.getChild('GroupLeft') === null ? only(left, (label) => on.includes(label)) : left;
    // Without `on`, series are brought together by all of their labels; what differs would leave nothing.
    if (!equal(left, right)) throw new Error(`The sides have different labels, [${[...left.keys()].join(', ')}] and [${[...right.keys()].join(', ')}], so that nothing fits: ${this.#text(node)}`);
    return left;
  }

  #names(node: SyntaxNode): string[] {
    const names: string[] = [];
    node.cursor().iterate(({ name, from, to }) => {
      if (name === 'LabelName') names.push(this.#expression.slice(from, to));
    });
    return names;
  }

  #requireLabel(label: string, labels: Labels, of: string): void {
    if (!labels.has(label)) throw new Error(`${of} has no label ${label}, but ${[...labels.keys()].join(', ') || 'none'}: ${this.#expression}`);
  }

  #text(node: SyntaxNode): string {
    return this.#expression.slice(node.from, node.to);
  }
}

function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const children: SyntaxNode[] = [];
  for (let child = node.firstChild; child !== null; child = child.nextSibling) children.push(child);
  return children;
}

/** Also `2 * 3` and `vector`-less numbers in brackets. */
function isNumber(node: SyntaxNode): boolean {
  if (NO_LABELS.has(node.name)) return true;
  return (node.name === 'ParenExpr' || node.name === 'UnaryExpr') && isNumber(childrenOf(node).at(-1)!);
}

const valuesOf = (labels: Labels, label: string): ReadonlySet<string> => labels.get(label) ?? new Set();
const only = (labels: Labels, keep: (label: string) => boolean): Labels => new Map([...labels].filter(([label]) => keep(label)));
const equal = (one: Labels, other: Labels): boolean => one.size === other.size && [...one.keys()].every((label) => other.has(label));
