import type { Agent, AgentWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** The agents of the tenant (PRS 4.1). */
export class Agents {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Registers version 1. @throws ConflictError when the id is taken. */
  create(agent: AgentWrite, options: RequestOptions = {}): ApiPromise<Agent> {
    return this.#session.call('mutation', options, async (init) => member<Agent>(await this.#session.orchestrator.POST('/v1/agents', { ...init, body: agent }), 'agent'));
  }

  get(agentId: string, options: RequestOptions = {}): ApiPromise<Agent> {
    return this.#session.call('read', options, async (init) =>
      member<Agent>(await this.#session.orchestrator.GET('/v1/agents/{agent_id}', { ...init, params: { path: { agent_id: agentId } } }), 'agent'),
    );
  }

  /** Makes the definition the newest version; an equal one makes none. */
  update(agentId: string, agent: AgentWrite, options: RequestOptions = {}): ApiPromise<Agent> {
    return this.#session.call('mutation', options, async (init) =>
      member<Agent>(await this.#session.orchestrator.PUT('/v1/agents/{agent_id}', { ...init, params: { path: { agent_id: agentId } }, body: agent }), 'agent'),
    );
  }

  /** Removes all versions; runs stay. @throws ConflictError while runs are under way. */
  delete(agentId: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) =>
      this.#session.orchestrator.DELETE('/v1/agents/{agent_id}', { ...init, params: { path: { agent_id: agentId } } }),
    );
  }

  /** Makes a new version with the definition of an earlier one. */
  rollBack(agentId: string, version: string, options: RequestOptions = {}): ApiPromise<Agent> {
    return this.#session.call('mutation', options, async (init) =>
      member<Agent>(await this.#session.orchestrator.POST('/v1/agents/{agent_id}/rollback', { ...init, params: { path: { agent_id: agentId } }, body: { version } }), 'agent'),
    );
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Agent> {
    return new PagePromise<Agent>(async (after) => {
      const list = await this.#session.call('read', options, (init) =>
        this.#session.orchestrator.GET('/v1/agents', { ...init, params: { query: pageQuery(query, after?.agent_id) } }),
      );
      return { items: list.agents as Agent[], hasMore: list.has_more ?? false };
    });
  }

  /** One item a version, newest first. */
  versions(agentId: string, query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Agent> {
    return new PagePromise<Agent>(async (after) => {
      const params = { path: { agent_id: agentId }, query: pageQuery(query, after?.version) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/agents/{agent_id}/versions', { ...init, params }));
      return { items: list.agents as Agent[], hasMore: list.has_more ?? false };
    });
  }
}
