/**
 * Who reads /metrics, and how much of it (PRS 10, 15.5). Series of single tenants tell which tenants there are and how
 * busy each one is, so they are for holders of `metrics:read` alone, in every mode; whoever else may read sees none.
 *
 * Metrics are read most when something is broken. While the store of credentials is away, a reader that was known a
 * short while ago still is: otherwise the metrics of a node in prod would go dark with its database.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Identity } from '../auth/identity.ts';
import { AgentOsError } from '../errors.ts';

const METRICS_SCOPE = 'metrics:read';
const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'x-scopes'] as const;
const REMEMBERED_MS = 600_000;
/** Prometheus, its replica, a few people. */
const MOST_REMEMBERED = 16;

export interface MetricsReaderOptions {
  readonly identity: Identity;
  /** Without a credential there is nothing to see. */
  readonly required: boolean;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Answers whether the reader may see series of single tenants. @throws AgentOsError where it may see nothing at all. */
export function createMetricsReader({ identity, required, now = () => performance.now() }: MetricsReaderOptions): (headers: IncomingHttpHeaders) => Promise<boolean> {
  const known = new Map<string, { readonly maySeeTenants: boolean; readonly atMs: number }>();
  const authenticate = async (headers: IncomingHttpHeaders): Promise<boolean> => {
    const fingerprint = fingerprintOf(headers);
    try {
      const { scopes } = await identity.authenticate(headers, { tenancy: 'platform' });
      const maySeeTenants = scopes.includes(METRICS_SCOPE);
      known.delete(fingerprint);
      if (known.size >= MOST_REMEMBERED) known.delete(known.keys().next().value!);
      known.set(fingerprint, { maySeeTenants, atMs: now() });
      return maySeeTenants;
    } catch (error) {
      const remembered = known.get(fingerprint);
      const isAway = error instanceof AgentOsError && error.code === 'dependency_unavailable';
      if (isAway && remembered !== undefined && now() - remembered.atMs < REMEMBERED_MS) return remembered.maySeeTenants;
      known.delete(fingerprint);
      throw error;
    }
  };
  return async (headers) => {
    if (required) return authenticate(headers);
    if (CREDENTIAL_HEADERS.every((name) => headers[name] === undefined)) return false;
    // Metrics are open here: a credential that says nothing to us takes nothing away.
    return authenticate(headers).catch(() => false);
  };
}

/** Credentials themselves are not kept. */
function fingerprintOf(headers: IncomingHttpHeaders): string {
  return createHash('sha256').update(JSON.stringify(CREDENTIAL_HEADERS.map((name) => headers[name] ?? null))).digest('base64');
}
