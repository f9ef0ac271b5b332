/** A rule set as it is stored, read strictly: what is not understood must not be taken for "nothing to do". */
import type { PiiKind, PolicyRuleSet } from '../ports/policy-rules.ts';

const KINDS: ReadonlySet<string> = new Set<PiiKind>(['email', 'phone', 'card', 'iban', 'ssn', 'ip', 'secret']);
const MEMBERS = new Set(['pii', 'denied_terms']);

/** @param value `{pii: {kind: 'redact' | 'block'}, denied_terms: string[]}` @throws Error naming the member that is wrong */
export function parseRules(policyId: string, value: unknown): PolicyRuleSet {
  const fail = (pointer: string, wanted: string): never => {
    throw new Error(`Rule set ${policyId}: ${pointer} ${wanted}.`);
  };
  if (!isRecord(value)) return fail('/', 'must be an object');
  for (const member of Object.keys(value)) if (!MEMBERS.has(member)) fail(`/${member}`, 'is not known');
  const pii = value['pii'] ?? {};
  if (!isRecord(pii)) return fail('/pii', 'must be an object');
  for (const [kind, action] of Object.entries(pii)) {
    if (!KINDS.has(kind)) fail(`/pii/${kind}`, `is not known; kinds are ${[...KINDS].join(', ')}`);
    if (action !== 'redact' && action !== 'block') fail(`/pii/${kind}`, 'must be redact or block');
  }
  const terms = value['denied_terms'] ?? [];
  if (!Array.isArray(terms) || !terms.every((term) => typeof term === 'string')) return fail('/denied_terms', 'must be a list of strings');
  return { policyId, pii: { ...pii } as PolicyRuleSet['pii'], deniedTerms: [...terms] as string[] };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
