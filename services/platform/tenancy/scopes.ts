/** The scopes of the platform (PRS 10.1, Appendix B, E, F.3) and the coarser names that older clients send (C-24), as `specs/schemas/scopes.json` has them. */
import { PLATFORM_SCOPES, SCOPE_ALIASES, TENANT_SCOPES, type Scope } from '../../../generated/handlers/access.ts';

export { PLATFORM_SCOPES, TENANT_SCOPES, type Scope };

/** A service that holds it may name the tenant it acts for in `X-Tenant-Id`. */
export const DELEGATION_SCOPE = 'tenants:act-as';

/** What the operator of a node holds: everything, but that a person does not act for tenants by header. */
export const OPERATOR_SCOPES: readonly Scope[] = [...TENANT_SCOPES, ...PLATFORM_SCOPES.filter((scope) => scope !== DELEGATION_SCOPE)];

// A map and no object: scopes are the caller's words, and `constructor` is a word.
const ALIASES: ReadonlyMap<string, readonly string[]> = new Map(Object.entries(SCOPE_ALIASES));

/** Adds what the aliases among `scopes` stand for; keeps the aliases and unknown scopes; each scope once. */
export function expandScopes(scopes: readonly string[]): readonly string[] {
  if (!scopes.some((scope) => ALIASES.has(scope))) return scopes;
  const expanded = new Set<string>();
  for (const scope of scopes) {
    expanded.add(scope);
    for (const implied of ALIASES.get(scope) ?? []) expanded.add(implied);
  }
  return [...expanded];
}

/** Reads `runs:create runs:read`, `runs:create,runs:read`, or a list. Anything else is no scope at all. */
export function parseScopes(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.filter((scope): scope is string => typeof scope === 'string' && scope !== '');
  if (typeof value !== 'string') return [];
  return value.split(/[\s,]+/).filter((scope) => scope !== '');
}
