/**
 * Where a call came from, carried by the auth context that every port call carries anyway: an adapter can so write
 * its audit record in the transaction of the deed, without a parameter more on every method of every port.
 *
 * It hangs on a symbol: `{...auth}` keeps it, JSON leaves it out, so it crosses no process and is stored nowhere.
 */
import type { AuthContext } from '../tenancy/auth-context.ts';

export interface RequestOrigin {
  /** null: no request; a worker goes on with a run. */
  readonly operationId: string | null;
  readonly correlationId: string;
  /** The caller's network address. */
  readonly source: string | null;
}

const ORIGIN = Symbol('agentos.request-origin');

type Carrying = AuthContext & { readonly [ORIGIN]?: RequestOrigin };

/** The same context, for this request alone; what identity answers may be shared by many. */
export function withOrigin(auth: AuthContext, { operationId, correlationId, source }: RequestOrigin): AuthContext {
  const origin: RequestOrigin = { operationId, correlationId, source };
  // A member that is added behind a spread costs V8 ten times the spread. One that `auth` has brought along must not win.
  const carrying = { [ORIGIN]: origin, ...(auth as Carrying) };
  carrying[ORIGIN] = origin;
  return carrying;
}

export function originOf(auth: AuthContext): RequestOrigin | null {
  return (auth as Carrying)[ORIGIN] ?? null;
}
