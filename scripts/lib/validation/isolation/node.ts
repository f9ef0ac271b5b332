/** The node as the isolation check sees it: something that answers requests. The command line and the tests each bring their own. */
import type { ServiceName } from '../../services/catalog.ts';

export interface Asked {
  readonly service: ServiceName;
  readonly method: string;
  /** With its query. Paths under /v1/admin/ go to where the node serves them. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface IsolationNode {
  /** Every status is an answer; a stream is read for a moment and left. */
  ask(asked: Asked): Promise<Reply>;
  /** Headers that administer tenants at this service. */
  operator(service: ServiceName): Promise<Readonly<Record<string, string>>>;
  /** Naming a tenant is an identity (demo mode), so that no credential at all is somebody. */
  readonly headersIdentify: boolean;
}

/** A reply's JSON; null where it is none. */
export function jsonOf(reply: Reply): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(reply.text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
