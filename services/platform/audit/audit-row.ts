/**
 * What is written about a deed: who, what, for which tenant, under which policy context, with which outcome (PRS 10.3).
 *
 * A record says that something was done and never what was said: no prompts, answers, arguments, values or secrets.
 * `details` therefore takes plain values alone, short ones, and what looks like a secret is not written even so.
 */
import { newId } from '../ids.ts';
import { accountablePrincipal, type AuthContext } from '../tenancy/auth-context.ts';
import { originOf } from './request-origin.ts';

/** The chain of what belongs to no tenant: administration of the node itself. No tenant can have this id. */
export const PLATFORM_TENANT = '_platform';

export type AuditOutcome = 'allowed' | 'denied' | 'failed';

export type AuditValue = string | number | boolean | null | readonly (string | number | boolean)[];
export type AuditDetails = Readonly<Record<string, AuditValue | undefined | Readonly<Record<string, AuditValue | undefined>>>>;

export interface AuditFacts {
  /** e.g. `run.create`; an open set of `<noun>.<verb>`. */
  readonly action: string;
  /** `allowed` when absent. */
  readonly outcome?: AuditOutcome;
  readonly resource?: { readonly type: string; readonly id: string };
  /** The tenant in whose chain it stands; the caller's own when absent. */
  readonly tenantId?: string;
  /** Of the request where absent; null where there was none. */
  readonly correlationId?: string | null;
  readonly operation?: string | null;
  readonly source?: string | null;
  /** Of policy: what was decided and by which rule. */
  readonly decision?: AuditDetails;
  /** Of routing: model, backend, attempts. */
  readonly route?: AuditDetails;
  /** The other node, by its stack id; the one that the call came from where absent. */
  readonly peer?: string;
  /** Names, counts and versions; never content. */
  readonly details?: AuditDetails;
}

/** One record on its way into its chain. */
export interface AuditRow {
  readonly tenant_id: string;
  readonly service: string;
  readonly entry: AuditEntry;
}

/** The text of a record is this as JSON; members that are not there are left out. */
export interface AuditEntry {
  readonly audit_id: string;
  readonly action: string;
  readonly outcome: AuditOutcome;
  readonly principal?: { readonly principal_id: string; readonly principal_type: string };
  readonly roles?: readonly string[];
  readonly policy_context?: Readonly<Record<string, unknown>>;
  readonly resource?: { readonly type: string; readonly id: string };
  readonly correlation_id?: string;
  readonly operation?: string;
  readonly source?: string;
  readonly decision?: AuditDetails;
  readonly route?: AuditDetails;
  readonly peer?: string;
  readonly details?: AuditDetails;
}

/** @param auth who did it; null: nobody that is known. */
export function auditRow(service: string, auth: AuthContext | null, facts: AuditFacts): AuditRow {
  const origin = auth === null ? null : originOf(auth);
  const tenantId = facts.tenantId ?? (auth === null || auth.tenant_id === '' ? PLATFORM_TENANT : auth.tenant_id);
  const correlationId = facts.correlationId === undefined ? origin?.correlationId : facts.correlationId;
  const operation = facts.operation === undefined ? origin?.operationId : facts.operation;
  const source = facts.source === undefined ? origin?.source : facts.source;
  return {
    tenant_id: tenantId,
    service,
    entry: {
      audit_id: newId('aud'),
      action: facts.action,
      outcome: facts.outcome ?? 'allowed',
      ...(auth === null ? undefined : whoOf(auth)),
      resource: facts.resource,
      correlation_id: correlationId ?? undefined,
      operation: operation ?? undefined,
      source: source ?? undefined,
      decision: written(facts.decision),
      route: written(facts.route),
      peer: facts.peer ?? auth?.peer,
      details: written(auth === null ? facts.details : withCaller(auth, tenantId, facts.details)),
    } as AuditEntry,
  };
}

function whoOf(auth: AuthContext): Pick<AuditEntry, 'principal' | 'roles' | 'policy_context'> {
  const { roles, policy_context } = auth;
  const principal = accountablePrincipal(auth);
  return {
    principal: { principal_id: principal.principal_id, principal_type: principal.principal_type },
    ...(roles === undefined || roles.length === 0 ? undefined : { roles }),
    ...(policy_context === undefined || policy_context === null ? undefined : { policy_context: writtenContext(policy_context) }),
  };
}

/** The members that the contract names; callers may send others, and what those hold is nobody's to vouch for. */
function writtenContext({ data_classification, region, purpose, consent_tags }: NonNullable<AuthContext['policy_context']>): Readonly<Record<string, unknown>> {
  const named = Object.entries({ data_classification, region, purpose }).filter((member): member is [string, string] => typeof member[1] === 'string');
  const tags = Array.isArray(consent_tags) ? { consent_tags: consent_tags.slice(0, MOST_TAGS).map((tag) => writtenText(String(tag))) } : undefined;
  return { ...Object.fromEntries(named.map(([name, value]) => [name, writtenText(value)])), ...tags };
}

/**
 * Who made the call, where that is not who answers for it: a service of the node that works for a principal, an operator
 * or a service of another tenant than the chain's.
 */
function withCaller(auth: AuthContext, tenantId: string, details: AuditDetails | undefined): AuditDetails | undefined {
  const { acting, on_behalf_of: behalf } = auth;
  const named = behalf === undefined ? details : { ...details, called_by: auth.principal.principal_id };
  if (acting !== undefined) return { ...named, acting_tenant_id: acting.tenant_id, acting_principal_id: acting.principal_id };
  return auth.tenant_id === tenantId || auth.tenant_id === '' ? named : { ...named, acting_tenant_id: auth.tenant_id };
}

const LONGEST_TEXT = 256;
const MOST_ITEMS = 32;
const MOST_TAGS = 64;
const SECRET_NAME = /secret|password|passwd|authorization|api_?key$|(?:^|_)token$|credential|private/i;
/** Keys of ours and of the vendors, bearer tokens, JWTs, PEM blocks, passwords in addresses. */
const SECRET_TEXT = /aos_[a-z]+_|\bsk-[A-Za-z0-9_-]{8}|\bBearer\s|\beyJ[A-Za-z0-9_-]{8,}\.|-----BEGIN|:\/\/[^/\s:@]+:[^/\s@]+@/;
const REDACTED = '[redacted]';

/** Names are those of our own records: few, and the same again and again. */
const nameVerdicts = new Map<string, boolean>();
const MOST_NAMES = 1_000;
function isSecretName(name: string): boolean {
  let verdict = nameVerdicts.get(name);
  if (verdict !== undefined) return verdict;
  verdict = SECRET_NAME.test(name);
  if (nameVerdicts.size < MOST_NAMES) nameVerdicts.set(name, verdict);
  return verdict;
}

function written(details: AuditDetails | undefined, depth = 1): AuditDetails | undefined {
  if (details === undefined) return undefined;
  const kept: Record<string, AuditDetails[string]> = {};
  for (const name of Object.keys(details)) {
    const value = details[name];
    if (value === undefined) continue;
    kept[name] = isSecretName(name) && typeof value !== 'number' && typeof value !== 'boolean' ? REDACTED : writtenValue(value, depth);
  }
  return kept;
}

function writtenValue(value: NonNullable<AuditDetails[string]> | null, depth: number): AuditDetails[string] {
  if (typeof value === 'string') return writtenText(value);
  if (Array.isArray(value)) return value.slice(0, MOST_ITEMS).map((item: string | number | boolean) => (typeof item === 'string' ? writtenText(item) : item));
  if (typeof value !== 'object' || value === null) return value as AuditValue;
  return depth > 0 ? (written(value as AuditDetails, depth - 1) as Readonly<Record<string, AuditValue>>) : REDACTED;
}

function writtenText(text: string): string {
  if (SECRET_TEXT.test(text)) return REDACTED;
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}
