/** Rules as they are stored, read strictly: what is not understood must not be taken for "nothing to do". */
import { PII_KINDS, type PolicyRule } from '../ports/policy-rules.ts';

type Check = (value: unknown) => string | null;

const oneOf = (...values: readonly string[]): Check => (value) => (values.includes(value as string) ? null : `must be one of ${values.join(', ')}`);
const listOf = (each: Check): Check => (value) => (Array.isArray(value) ? (value.map(each).find((fault) => fault !== null) ?? null) : 'must be a list');
const text: Check = (value) => (typeof value === 'string' && value !== '' ? null : 'must be a text');
const texts = listOf(text);
const types: Check = (value) => (value === 'all' ? null : listOf(oneOf(...PII_KINDS))(value));
const count: Check = (value) => (Number.isSafeInteger(value) && (value as number) > 0 ? null : 'must be a positive integer');
const members = (known: Readonly<Record<string, Check>>): Check => (value) => {
  if (!isRecord(value)) return 'must be an object';
  for (const [name, member] of Object.entries(value)) {
    const fault = Object.hasOwn(known, name) ? known[name]!(member) : 'is not known';
    if (fault !== null) return `${name} ${fault}`;
  }
  return null;
};
const direction = oneOf('request', 'response', 'both');

const KINDS: Readonly<Record<PolicyRule['kind'], { readonly needs: readonly string[]; readonly members: Readonly<Record<string, Check>> }>> = {
  pii: { needs: ['types', 'action'], members: { types, action: oneOf('redact', 'block', 'allow'), direction } },
  terms: { needs: ['terms', 'action'], members: { terms: texts, action: oneOf('block', 'allow'), direction } },
  models: { needs: [], members: { allow: texts, deny: texts } },
  tools: { needs: [], members: { allow: texts, deny: texts } },
  attributes: {
    needs: ['require'],
    members: { when: members({ region: texts, data_classification: texts, purpose: texts }), require: members({ region: texts, data_classification: texts }) },
  },
  max_tokens: { needs: ['max'], members: { max: count } },
};

export interface RuleFault {
  /** JSON pointer into the rule set. */
  readonly path: string;
  readonly message: string;
}

/** What is wrong with a list of rules; empty when nothing is. */
export function faultsOfRules(value: unknown): readonly RuleFault[] {
  if (!Array.isArray(value)) return [{ path: '/rules', message: 'must be a list' }];
  const ids = new Set<unknown>();
  return value.flatMap((rule: unknown, index) => {
    const path = `/rules/${index}`;
    if (!isRecord(rule)) return [{ path, message: 'must be an object' }];
    if (ids.has(rule['id'])) return [{ path: `${path}/id`, message: `is the id of another rule of this set` }];
    ids.add(rule['id']);
    return faultsOfRule(rule, path);
  });
}

function faultsOfRule(rule: Readonly<Record<string, unknown>>, path: string): RuleFault[] {
  const kind = Object.hasOwn(KINDS, String(rule['kind'])) ? KINDS[rule['kind'] as PolicyRule['kind']] : null;
  if (kind === null) return [{ path: `${path}/kind`, message: `must be one of ${Object.keys(KINDS).join(', ')}` }];
  const known: Readonly<Record<string, Check>> = { id: text, kind: text, ...kind.members };
  const faults = ['id', ...kind.needs].filter((name) => rule[name] === undefined).map((name) => ({ path: `${path}/${name}`, message: 'is missing' }));
  for (const [name, value] of Object.entries(rule)) {
    const fault = Object.hasOwn(known, name) ? known[name]!(value) : 'is not a known member';
    if (fault !== null) faults.push({ path: `${path}/${name}`, message: fault });
  }
  return faults;
}

/** @param value a list of rules, or `{pii: {kind: action}, denied_terms: string[]}` as earlier versions stored it @throws Error naming the member that is wrong */
export function parseRules(policyId: string, value: unknown): readonly PolicyRule[] {
  const rules = isRecord(value) ? fromEarlierForm(policyId, value) : value;
  const [fault] = faultsOfRules(rules);
  if (fault !== undefined) throw new Error(`Rule set ${policyId}: ${fault.path} ${fault.message}.`);
  return rules as readonly PolicyRule[];
}

function fromEarlierForm(policyId: string, value: Readonly<Record<string, unknown>>): unknown {
  for (const member of Object.keys(value)) if (member !== 'pii' && member !== 'denied_terms') throw new Error(`Rule set ${policyId}: /${member} is not known.`);
  const { pii = {}, denied_terms: terms = [] } = value;
  if (!isRecord(pii)) throw new Error(`Rule set ${policyId}: /pii must be an object.`);
  return [
    ...Object.entries(pii).map(([type, action]) => ({ id: `pii-${type}`, kind: 'pii', types: [type], action })),
    ...(Array.isArray(terms) && terms.length === 0 ? [] : [{ id: 'denied-terms', kind: 'terms', terms, action: 'block' }]),
  ];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
