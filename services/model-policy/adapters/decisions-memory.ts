/** Decisions of this process: the latest of each tenant, and gone with it. */
import type { ModelDecision } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import { deedOf } from './decisions-audit.ts';
import type { DecisionQuery, DecisionsPort } from '../ports/decisions.ts';

const KEPT = 10_000;

export class MemoryDecisions implements DecisionsPort {
  /** By tenant and decision_id, in the order in which they came. */
  readonly #tenants = new Map<string, Map<string, ModelDecision>>();

  readonly #audit: MemoryAudit;

  constructor(audit = new MemoryAudit()) {
    this.#audit = audit;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async record(auth: AuthContext, decision: ModelDecision): Promise<void> {
    let decisions = this.#tenants.get(auth.tenant_id);
    if (decisions === undefined) this.#tenants.set(auth.tenant_id, (decisions = new Map()));
    if (!decisions.has(decision.decision_id)) {
      decisions.set(decision.decision_id, structuredClone(decision));
      this.#audit.add(auditRow('model-policy', auth, deedOf(decision)));
    }
    if (decisions.size > KEPT) decisions.delete(decisions.keys().next().value!);
  }

  async get(auth: AuthContext, requestId: string): Promise<ModelDecision> {
    const found = this.#newestFirst(auth).find((decision) => decision.request_id === requestId);
    if (found === undefined) throw noSuchDecision(requestId);
    return structuredClone(found);
  }

  async list(auth: AuthContext, { limit, after, ...filter }: DecisionQuery) {
    const found = this.#newestFirst(auth).filter((decision) => (after === undefined || decision.decision_id < after) && matches(decision, filter));
    return { decisions: structuredClone(found.slice(0, limit)), hasMore: found.length > limit };
  }

  async close(): Promise<void> {}

  #newestFirst(auth: AuthContext): ModelDecision[] {
    return [...(this.#tenants.get(auth.tenant_id)?.values() ?? [])].sort((one, other) => (one.decision_id < other.decision_id ? 1 : -1));
  }
}

function matches(decision: ModelDecision, { decision: wanted, model, fromMs, toMs }: Omit<DecisionQuery, 'limit' | 'after'>): boolean {
  const atMs = Date.parse(decision.at);
  return (wanted === undefined || decision.policy.decision === wanted) && (model === undefined || servedBy(decision) === model)
    && (fromMs === undefined || atMs >= fromMs) && (toMs === undefined || atMs < toMs);
}

/** null where no model served. */
export function servedBy(decision: ModelDecision): string | null {
  return decision.candidates.find((candidate) => candidate.chosen)?.model ?? null;
}

export function noSuchDecision(requestId: string): AgentOsError {
  return new AgentOsError('not_found', {
    message: `There is no decision about a request ${requestId}. Decisions are kept for a time; GET /v1/decisions lists them.`,
    details: { request_id: requestId },
  });
}
