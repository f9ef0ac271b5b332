/**
 * The auth context of Schemas Appendix B, as every port call carries it (PRS 5.2).
 * It keeps the wire's snake_case names because it crosses processes unchanged.
 */
import type { AuthContext as WireAuthContext } from '../../../generated/types/index.ts';

export type AuthContext = WireAuthContext;
export type PolicyContext = NonNullable<AuthContext['policy_context']>;

/** Who answers for a call: whose work it is, where a service of the node makes it, else the caller. */
export function accountablePrincipal(auth: AuthContext): NonNullable<AuthContext['on_behalf_of']> {
  return auth.on_behalf_of ?? auth.principal;
}

/** True when the context holds every one of `scopes`. */
export function hasScopes(auth: AuthContext, scopes: readonly string[]): boolean {
  return scopes.every((scope) => auth.scopes.includes(scope));
}
