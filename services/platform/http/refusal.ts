/** A call that was turned away for who made it, for those who keep record of such calls. */
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { ErrorBody } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { OperationRow } from './operation-types.ts';

export interface Refusal {
  /** 401, 403, or 400 where the credential and the header name two tenants. */
  readonly status: number;
  readonly error: ErrorBody['error'];
  readonly row: OperationRow;
  /** The caller, where its credential holds and does not suffice; null where nobody knows who it was. */
  readonly auth: AuthContext | null;
  /** For the correlation id and the client's address; its headers hold credentials. */
  readonly exchange: Pick<Exchange, 'correlationId' | 'remoteAddress' | 'headers'>;
}
