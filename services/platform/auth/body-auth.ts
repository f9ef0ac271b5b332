/** An `auth` member of a body may only repeat what the credential says (C-24, C-62). */
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';

/** @throws AgentOsError tenant_mismatch. */
export function requireSameTenant(auth: AuthContext, bodyAuth: { readonly tenant_id: string } | undefined): void {
  if (bodyAuth === undefined || bodyAuth.tenant_id === auth.tenant_id) return;
  throw new AgentOsError('tenant_mismatch', {
    message: `The body names tenant ${bodyAuth.tenant_id}, the credential ${auth.tenant_id}. Send both for the same tenant, or leave auth out of the body.`,
    details: { credential_tenant_id: auth.tenant_id, body_tenant_id: bodyAuth.tenant_id },
  });
}

/** The policy context that the body claims; where the credential says something itself, that stands. */
export function withPolicyContext(auth: AuthContext, bodyAuth: Pick<AuthContext, 'policy_context'> | undefined): AuthContext {
  if (bodyAuth?.policy_context === undefined) return auth;
  return { ...auth, policy_context: { ...bodyAuth.policy_context, ...auth.policy_context } };
}
