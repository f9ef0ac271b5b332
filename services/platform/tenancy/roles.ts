/** Roles and the scopes they hold, as `specs/schemas/roles.json` has them. */
import { ROLES, type Role, type RoleAccess } from '../../../generated/handlers/access.ts';
import { PLATFORM_SCOPES, TENANT_SCOPES, expandScopes } from './scopes.ts';

// Maps and no objects: roles and scopes are the caller's words, and `constructor` is a word.
const BY_NAME: ReadonlyMap<string, Role> = new Map(
  (Object.entries(ROLES) as [Role, RoleAccess][]).flatMap(([role, { aliases }]) => [role, ...aliases].map((name) => [name, role] as const)),
);
const KNOWN_SCOPES: ReadonlySet<string> = new Set([...TENANT_SCOPES, ...PLATFORM_SCOPES]);
const PLATFORM: ReadonlySet<string> = new Set(PLATFORM_SCOPES);

/** The role of this name or alias; null when there is none. */
export function roleNamed(name: string): Role | null {
  return BY_NAME.get(name) ?? null;
}

export function roleAccess(role: Role): RoleAccess {
  return ROLES[role];
}

/** What these roles hold together; unknown ones hold nothing. */
export function scopesOfRoles(roles: readonly string[]): readonly string[] {
  return [...new Set(roles.flatMap((name) => {
    const role = roleNamed(name);
    return role === null ? [] : ROLES[role].scopes;
  }))];
}

export function isPlatformRole(name: string): boolean {
  const role = roleNamed(name);
  return role !== null && ROLES[role].tenancy === 'platform';
}

export function isPlatformScope(scope: string): boolean {
  return PLATFORM.has(scope);
}

/** What an alias stands for, and each scope itself; null for a word that is no scope. */
export function scopesNamed(name: string): readonly string[] | null {
  const expanded = expandScopes([name]).filter((scope) => KNOWN_SCOPES.has(scope));
  return expanded.length === 0 ? null : expanded;
}

/** What a key may do: its own scopes; where it has none, what its roles hold. */
export function scopesOfKey(key: { readonly scopes: readonly string[]; readonly roles: readonly string[] }): readonly string[] {
  return key.scopes.length > 0 ? expandScopes(key.scopes) : scopesOfRoles(key.roles);
}
