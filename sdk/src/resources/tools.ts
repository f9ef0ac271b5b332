import type { Tool, ToolWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** The tools that agents of the tenant may be given (PRS 5.1). Only webhook tools can be written. */
export class Tools {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Tool> {
    return new PagePromise<Tool>(async (after) => {
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/tools', { ...init, params: { query: pageQuery(query, after?.tool_id) } }));
      return { items: list.tools as Tool[], hasMore: list.has_more };
    });
  }

  get(toolId: string, options: RequestOptions = {}): ApiPromise<Tool> {
    return this.#session.call('read', options, async (init) =>
      member<Tool>(await this.#session.orchestrator.GET('/v1/tools/{tool_id}', { ...init, params: { path: { tool_id: toolId } } }), 'tool'),
    );
  }

  /** The answer holds `webhook.secret`, this once. @throws ConflictError when the id is taken. */
  create(tool: ToolWrite, options: RequestOptions = {}): ApiPromise<Tool> {
    return this.#session.call('mutation', options, async (init) => member<Tool>(await this.#session.orchestrator.POST('/v1/tools', { ...init, body: tool }), 'tool'));
  }

  /** Without `webhook.secret` the secret stays. */
  replace(toolId: string, tool: ToolWrite, options: RequestOptions = {}): ApiPromise<Tool> {
    return this.#session.call('mutation', options, async (init) =>
      member<Tool>(await this.#session.orchestrator.PUT('/v1/tools/{tool_id}', { ...init, params: { path: { tool_id: toolId } }, body: tool }), 'tool'),
    );
  }

  delete(toolId: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) => this.#session.orchestrator.DELETE('/v1/tools/{tool_id}', { ...init, params: { path: { tool_id: toolId } } }));
  }
}
