import type { McpServer, McpServerRefreshAnswer, McpServerWrite } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** MCP servers, whose tools are `tool.mcp.<server_id>.<name>`. */
export class McpServers {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  list(query: { readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<McpServer> {
    return new PagePromise<McpServer>(async (after) => {
      const params = { query: pageQuery(query, after?.server_id) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/mcp-servers', { ...init, params }));
      return { items: list.mcp_servers as McpServer[], hasMore: list.has_more };
    });
  }

  get(serverId: string, options: RequestOptions = {}): ApiPromise<McpServer> {
    return this.#session.call('read', options, async (init) =>
      member<McpServer>(await this.#session.orchestrator.GET('/v1/mcp-servers/{server_id}', { ...init, params: { path: { server_id: serverId } } }), 'mcp_server'),
    );
  }

  create(server: McpServerWrite, options: RequestOptions = {}): ApiPromise<McpServer> {
    return this.#session.call('mutation', options, async (init) => member<McpServer>(await this.#session.orchestrator.POST('/v1/mcp-servers', { ...init, body: server }), 'mcp_server'));
  }

  /** Without `headers` the stored ones stay. */
  replace(serverId: string, server: McpServerWrite, options: RequestOptions = {}): ApiPromise<McpServer> {
    return this.#session.call('mutation', options, async (init) =>
      member<McpServer>(await this.#session.orchestrator.PUT('/v1/mcp-servers/{server_id}', { ...init, params: { path: { server_id: serverId } }, body: server }), 'mcp_server'),
    );
  }

  delete(serverId: string, options: RequestOptions = {}): ApiPromise<void> {
    return this.#session.call('mutation', options, (init) => this.#session.orchestrator.DELETE('/v1/mcp-servers/{server_id}', { ...init, params: { path: { server_id: serverId } } }));
  }

  /** Lists its tools now; `mcp_server.status` says whether it could be reached. */
  refresh(serverId: string, options: RequestOptions = {}): ApiPromise<McpServerRefreshAnswer> {
    return this.#session.call('mutation', options, async (init) =>
      whole<McpServerRefreshAnswer>(await this.#session.orchestrator.POST('/v1/mcp-servers/{server_id}:refresh', { ...init, params: { path: { server_id: serverId } } })),
    );
  }
}
