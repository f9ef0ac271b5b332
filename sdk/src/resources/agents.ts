import type { Agent } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** The agents of the tenant (PRS 4.1). */
export class Agents {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get(agentId: string, options: RequestOptions = {}): ApiPromise<Agent> {
    return this.#session.call('read', options, async (init) => {
      const answer = await this.#session.orchestrator.GET('/v1/agents/{agent_id}', { ...init, params: { path: { agent_id: agentId } } });
      return { data: answer.data?.agent as Agent | undefined, error: answer.error, response: answer.response };
    });
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Agent> {
    return new PagePromise<Agent>(async (after) => {
      const page = { ...(query.limit && { limit: query.limit }), ...(after && { after: after.agent_id }) };
      const list = await this.#session.call('read', options, (init) =>
        this.#session.orchestrator.GET('/v1/agents', { ...init, params: { query: page } }),
      );
      return { items: list.agents as Agent[], hasMore: list.has_more ?? false };
    });
  }
}
