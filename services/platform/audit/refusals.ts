/**
 * Who was turned away, and from what (PRS 10.3): calls with a credential of ours that does not hold any more, without the
 * scope they need, or for a tenant that is not theirs; and calls of another node, known by its certificate, that was not
 * believed. A caller that nobody knows leaves no record: there is no tenant whom it concerns, and anybody could fill the log.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { looksLikeApiKey, parseApiKey } from '../auth/api-key.ts';
import type { Refusal } from '../http/refusal.ts';
import type { DirectoryPort } from '../tenancy/directory.ts';
import { auditRow, PLATFORM_TENANT, type AuditFacts, type AuditRow } from './audit-row.ts';
import type { BackgroundAudit } from './background-audit.ts';

const RECORDED: ReadonlySet<string> = new Set(['unauthorized', 'forbidden', 'tenant_unknown', 'tenant_mismatch']);
/** Records a second from one address, and addresses told apart. */
const PER_SECOND = 5;
const SOURCES = 10_000;

export interface RefusalRecorderOptions {
  readonly service: string;
  readonly directory: Pick<DirectoryPort, 'getTenant' | 'getApiKey'>;
  readonly background: BackgroundAudit;
  readonly onOmitted?: (records: number) => void;
  /** Records a second from one address; 5 when absent. */
  readonly perSecond?: number;
}

/** For `onRefused` of `createServer`. */
export function recordRefusals({ service, directory, background, onOmitted, perSecond = PER_SECOND }: RefusalRecorderOptions): (refusal: Refusal) => void {
  let second = 0;
  const counts = new Map<string, number>();
  return (refusal) => {
    if (!RECORDED.has(refusal.error.code)) return;
    const source = refusal.exchange.remoteAddress ?? 'unknown';
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) counts.clear();
    second = now;
    const count = counts.get(source) ?? 0;
    if (count >= perSecond || (count === 0 && counts.size >= SOURCES)) return onOmitted?.(1);
    counts.set(source, count + 1);
    const facts = factsOf(refusal);
    const key = refusal.auth === null ? presentedKeyId(refusal.exchange.headers) : null;
    const { details } = refusal.error;
    if (refusal.auth === null && key === null && !('credential_tenant_id' in details) && !('peer' in details)) return;
    background.add(() => rowOf(service, directory, refusal, facts, key));
  };
}

function factsOf({ error, row, status, exchange }: Refusal): AuditFacts {
  const { reason, missing_scopes: missing, header_tenant_id: named, peer } = error.details as { readonly [Member in 'reason' | 'missing_scopes' | 'header_tenant_id' | 'peer']?: unknown };
  return {
    action: 'auth.refused',
    outcome: 'denied',
    correlationId: exchange.correlationId,
    operation: row.operationId,
    source: exchange.remoteAddress,
    ...(typeof peer === 'string' ? { peer } : {}),
    details: {
      status,
      code: error.code,
      ...(typeof reason === 'string' ? { reason } : {}),
      ...(Array.isArray(missing) ? { missing_scopes: missing.map(String) } : {}),
      ...(typeof named === 'string' ? { named_tenant_id: named } : {}),
    },
  };
}

/** The public half of the key that was presented, where it is one of ours by its looks. */
function presentedKeyId(headers: IncomingHttpHeaders): string | null {
  const header = headers['x-api-key'];
  const presented = typeof header === 'string' ? header : (/^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? '');
  return looksLikeApiKey(presented) ? (parseApiKey(presented)?.keyId ?? null) : null;
}

async function rowOf(service: string, directory: RefusalRecorderOptions['directory'], refusal: Refusal, facts: AuditFacts, keyId: string | null): Promise<AuditRow | null> {
  const key = keyId === null ? null : await directory.getApiKey(keyId);
  const principal = key === null ? null : { principal_id: key.principalId, principal_type: key.principalType };
  const auth = refusal.auth ?? (key === null || principal === null ? null : { tenant_id: key.tenantId, principal, scopes: [], roles: [] });
  const { credential_tenant_id: credentialTenant, peer } = refusal.error.details as { readonly credential_tenant_id?: string; readonly peer?: string };
  // What a node that is not believed says of tenants counts for nothing.
  if (auth === null && credentialTenant === undefined && peer !== undefined) return auditRow(service, null, facts);
  const tenantId = auth?.tenant_id ?? credentialTenant;
  if (tenantId === undefined) return null;
  // Whoever may name any tenant must not be able to open a chain for each.
  const known = (await directory.getTenant(null, tenantId)) !== null;
  const details = { ...facts.details, ...(known ? {} : { named_tenant_id: tenantId }) };
  const resource = key === null ? undefined : { type: 'key', id: key.keyId };
  return auditRow(service, auth, { ...facts, tenantId: known ? tenantId : PLATFORM_TENANT, details, ...(resource === undefined ? {} : { resource }) });
}
