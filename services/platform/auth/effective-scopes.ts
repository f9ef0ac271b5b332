/** What a credential may do: its explicit scopes; where it has none, what its roles hold together. */
import { PLATFORM_SCOPES, ROLES } from '../../../generated/handlers/access.ts';
import { expandScopes } from '../tenancy/scopes.ts';

interface Role {
  readonly tenancy: 'tenant' | 'platform';
  readonly scopes: readonly string[];
}

// A map and no object: roles are the credential's words, and `constructor` is a word.
const BY_NAME: ReadonlyMap<string, Role> = new Map(Object.entries(ROLES).flatMap(([name, role]) => [name, ...role.aliases].map((known) => [known, role] as const)));
const PLATFORM: ReadonlySet<string> = new Set(PLATFORM_SCOPES);

/** Aliases among the explicit scopes are expanded; each scope once; unknown roles hold nothing. */
export function effectiveScopes(explicit: readonly string[], roles: readonly string[]): readonly string[] {
  if (explicit.length > 0) return expandScopes([...new Set(explicit)]);
  return [...new Set(roles.flatMap((role) => BY_NAME.get(role)?.scopes ?? []))];
}

export function isRole(name: string): boolean {
  return BY_NAME.has(name);
}

export function isPlatformScope(scope: string): boolean {
  return PLATFORM.has(scope);
}

export function isPlatformRole(role: string): boolean {
  return BY_NAME.get(role)?.tenancy === 'platform';
}
