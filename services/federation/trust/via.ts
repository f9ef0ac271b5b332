/**
 * The nodes that a call came through, on its auth context: a call that goes on to a third node says so in its own
 * assertion, by which a loop is seen at the first node that it comes back to.
 *
 * It hangs on a symbol: `{...auth}` keeps it and JSON leaves it out, so it is believed of a verified assertion alone.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

const VIA = Symbol('agentos.via');

type Carrying = AuthContext & { readonly [VIA]?: readonly string[] };

export function withVia(auth: AuthContext, via: readonly string[]): AuthContext {
  return { ...auth, [VIA]: via } as AuthContext;
}

/** Stack ids, the last one before this node last; none for a call of this node's own callers. */
export function viaOf(auth: AuthContext): readonly string[] {
  return (auth as Carrying)[VIA] ?? [];
}
