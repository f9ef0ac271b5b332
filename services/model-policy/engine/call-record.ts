/** What is known of one call by the time it has ended, however it ended: for counters, the log line and the decision trace. Never content. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { newId } from '../../platform/ids.ts';
import { childTraceparent } from '../../platform/telemetry/trace-context.ts';
import { ALLOWED, type PolicyVerdict } from '../policy/evaluate.ts';
import type { LeftOut } from '../router/candidates.ts';
import type { CatalogueModel } from '../router/catalogue.ts';
import type { Attempt } from '../router/fallback.ts';
import type { RoutePlan } from '../router/router.ts';
import type { OpenHold } from './accounts.ts';

export interface CallFacts {
  readonly auth: AuthContext;
  readonly surface: 'canonical' | 'openai';
  readonly requestId: string;
  readonly correlationId: string;
  readonly traceparent: string;
  readonly runId: string | null;
  readonly agentId: string | null;
  readonly operation: 'chat' | 'embed';
  readonly modelRef: string;
  readonly streamed: boolean;
}

export interface CallUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly estimated: boolean;
}

export class CallRecord {
  readonly facts: CallFacts;
  /** Of the call's own span, under that of the request: what backends are told. */
  readonly traceparent: string;
  /** Milliseconds since the epoch. */
  readonly atMs = Date.now();
  readonly decisionId = newId('dec');
  policyId: string | null = null;
  policyVersion: number | null = null;
  verdict: PolicyVerdict = ALLOWED;
  policyMs = 0;
  /** Until a backend had room. */
  queueMs = 0;
  plan: RoutePlan | null = null;
  /** In the order in which they are tried. */
  candidates: readonly CatalogueModel[] = [];
  leftOut: readonly LeftOut[] = [];
  readonly attempts: (Attempt & { readonly atMs: number })[] = [];
  /** Of the last attempt. */
  held: OpenHold['held'] = null;
  served: CatalogueModel | null = null;
  fallbackUsed = false;
  /** What was charged; null where nothing was. */
  usage: CallUsage | null = null;
  costUsd: number | null = null;
  finishReason: string | null = null;
  firstByteMs: number | null = null;
  /** `ok`, `repeated`, `client_closed`, or the code of the error. */
  outcome = 'ok';
  totalMs = 0;
  readonly #started = performance.now();

  constructor(facts: CallFacts) {
    this.facts = facts;
    this.traceparent = childTraceparent(facts.traceparent);
  }

  elapsedMs(): number {
    return performance.now() - this.#started;
  }

  end(outcome: string): this {
    this.outcome = outcome;
    this.totalMs = this.elapsedMs();
    return this;
  }
}
