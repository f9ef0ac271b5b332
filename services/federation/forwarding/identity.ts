/** In whose name a run is made on another node, and under which key. Pure. */
import { createHash } from 'node:crypto';
import type { AuthContextWire } from '../../../generated/types/index.ts';
import { withPolicyContext } from '../../platform/auth/body-auth.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { TENANT_SCOPES } from '../../platform/tenancy/scopes.ts';

/** What `runs:forward` is good for on the node that runs it, for the forwarded run alone (C-24). */
const IMPLIED_SCOPES = ['runs:create', 'runs:read', 'runs:cancel'];
const TENANT: ReadonlySet<string> = new Set(TENANT_SCOPES);
const LONGEST_KEY = 256;

/** The caller, with the scopes of a tenant alone: what reaches beyond one stays on this node. */
export function forwardedContext(auth: AuthContext, told: Pick<AuthContextWire, 'policy_context'>): AuthContext {
  const scopes = [...new Set([...auth.scopes.filter((scope) => TENANT.has(scope)), ...IMPLIED_SCOPES])];
  return { ...withPolicyContext(auth, told as Pick<AuthContext, 'policy_context'>), scopes };
}

/** The same for the same forward of the same node, however often and by whichever of its processes it is sent. */
export const remoteKey = (originStackId: string, forwardId: string): string => bounded(`fed:${originStackId}:${forwardId}`);

/** A peer's key can only be one of its own: it never meets a key that a caller of this node has used. */
export function receivedKey(peerStackId: string, key: string): string {
  const own = `fed:${peerStackId}:`;
  return bounded(key.startsWith(own) ? key : `${own}${key}`);
}

const bounded = (key: string): string => (key.length <= LONGEST_KEY ? key : `fed#${createHash('sha256').update(key).digest('hex')}`);
