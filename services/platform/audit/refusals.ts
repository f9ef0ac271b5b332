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
/**
 * Records a second of one caller at one address, and callers told apart. Each counts for itself: nobody hides what they
 * are refused behind the refusals of others, nor behind those of another operation.
 */
const PER_SECOND = 5;
const CALLERS = 10_000;

export interface RefusalRecorderOptions {
  readonly service: string;
  readonly directory: Pick<DirectoryPort, 'getTenant' | 'getApiKey'>;
  readonly background: BackgroundAudit;
  readonly onOmitted?: (records: number) => void;
  /** Records a second of one caller at one address; 5 when absent. The first of each operation is written besides. */
  readonly perSecond?: number;
}

/** For `onRefused` of `createServer`. */
export function recordRefusals({ service, directory, background, onOmitted, perSecond = PER_SECOND }: RefusalRecorderOptions): (refusal: Refusal) => void {
  const limit = new CallerLimit(perSecond);
  return (refusal) => {
    const { auth, error, row, exchange } = refusal;
    if (!RECORDED.has(error.code)) return;
    const key = auth === null ? presentedKeyId(exchange.headers) : null;
    const caller = callerOf(refusal, key);
    if (caller === null) return;
    if (!limit.admits(`${exchange.remoteAddress ?? 'unknown'} ${caller}`, row.operationId)) return onOmitted?.(1);
    background.add(() => rowOf(service, directory, refusal, factsOf(refusal), key));
  };
}

/** By what the record will name; null for whom nobody knows. */
function callerOf({ auth, error: { details } }: Refusal, keyId: string | null): string | null {
  if (auth !== null) return `principal ${auth.acting?.tenant_id ?? auth.tenant_id} ${auth.principal.principal_id}`;
  if (keyId !== null) return keyId;
  if ('credential_tenant_id' in details) return `tenant ${String(details['credential_tenant_id'])}`;
  return 'peer' in details ? `peer ${String(details['peer'])}` : null;
}

/** So many a second of each caller, and beyond them the first of each operation. */
class CallerLimit {
  readonly #perSecond: number;
  #second = 0;
  readonly #callers = new Map<string, { count: number; readonly operations: Set<string> }>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  admits(caller: string, operationId: string): boolean {
    const now = Math.floor(performance.now() / 1000);
    if (now !== this.#second) this.#callers.clear();
    this.#second = now;
    const seen = this.#callers.get(caller) ?? { count: 0, operations: new Set<string>() };
    if (seen.count === 0 && this.#callers.size >= CALLERS) return false;
    if (seen.count >= this.#perSecond && seen.operations.has(operationId)) return false;
    this.#callers.set(caller, seen);
    seen.count += 1;
    seen.operations.add(operationId);
    return true;
  }
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
