/** What the federation service says about this node, through its generated client. */
import { createFederationClient } from '../../../generated/client/federation.ts';
import { ERROR_CODES } from '../../../generated/types/error-codes.ts';
import type { operations } from '../../../generated/types/federation.ts';
import type { ErrorResponse } from '../../../generated/types/index.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import type { RequestContext } from '../../platform/http/operation-types.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

type PeerInfoAnswer = operations['getPeerInfo']['responses'][200]['content']['application/json'];
type PeerCapabilitiesAnswer = operations['getPeerCapabilities']['responses'][200]['content']['application/json'];
type Caller = Pick<RequestContext, 'correlationId' | 'traceparent' | 'signal'>;

export interface PeerInformation {
  /** @throws AgentOsError dependency_unavailable. */
  info(auth: AuthContext, caller: Caller): Promise<PeerInfoAnswer>;
  /** @throws AgentOsError dependency_unavailable. */
  capabilities(auth: AuthContext, caller: Caller): Promise<PeerCapabilitiesAnswer>;
}

export interface PeerInformationOptions {
  readonly baseUrl: string;
  readonly credentials: (auth: AuthContext) => Promise<Readonly<Record<string, string>>>;
  readonly timeoutMs?: number;
}

interface Exchange<Data> {
  readonly data?: Data;
  readonly error?: unknown;
  readonly response: { readonly status: number };
}

export function createPeerInformation(options: PeerInformationOptions): PeerInformation {
  const client = createFederationClient({ baseUrl: options.baseUrl });
  const ask = async <Data>(auth: AuthContext, caller: Caller, call: (request: { headers: Record<string, string>; signal: AbortSignal }) => Promise<Exchange<Data>>): Promise<Data> => {
    const signal = AbortSignal.any([caller.signal, AbortSignal.timeout(options.timeoutMs ?? 3_000)]);
    const headers = { 'x-correlation-id': caller.correlationId, traceparent: caller.traceparent, ...(await options.credentials(auth)) };
    let exchange: Exchange<Data>;
    try {
      exchange = await call({ headers, signal });
    } catch (error) {
      throw unavailable('The federation service cannot be reached.', error);
    }
    if (exchange.data !== undefined) return exchange.data;
    throw answeredError(exchange);
  };
  return {
    info: (auth, caller) => ask(auth, caller, (request) => client.GET('/v1/peer/info', request as never) as Promise<Exchange<PeerInfoAnswer>>),
    capabilities: (auth, caller) => ask(auth, caller, (request) => client.GET('/v1/peer/capabilities', request as never) as Promise<Exchange<PeerCapabilitiesAnswer>>),
  };
}

function answeredError({ error, response }: Exchange<unknown>): AgentOsError {
  const told = (error as Partial<ErrorResponse> | undefined)?.error;
  if (response.status >= 500 || told === undefined || !(told.code in ERROR_CODES)) return unavailable(`The federation service answered ${response.status}.`, error);
  return new AgentOsError(told.code as ErrorCode, { message: told.message, details: { ...told.details } });
}

const unavailable = (message: string, cause: unknown): AgentOsError => new AgentOsError('dependency_unavailable', { message, details: { service: 'federation' }, cause });
