import type { AuditRecord } from '../../../generated/types/index.ts';
import { pageQuery } from '../member.ts';
import { PagePromise } from '../pages.ts';
import type { Session } from '../session.ts';
import { readLines, type Body } from '../text-stream.ts';
import type { RequestOptions } from '../transport.ts';

export interface AuditFilter {
  /** RFC 3339, inclusive. */
  readonly from?: string;
  /** RFC 3339, exclusive. */
  readonly to?: string;
  /** E.g. `key.create`. */
  readonly action?: string;
  readonly outcome?: AuditRecord['outcome'];
  readonly principalId?: string;
  readonly resourceType?: string;
  readonly resourceId?: string;
  readonly correlationId?: string;
  /** The service that recorded it. */
  readonly service?: string;
  /** Whose trail is read, the caller's unless given; another one needs the scope `audit:read-all`. */
  readonly tenantId?: string;
}

export interface AuditQuery extends AuditFilter {
  readonly limit?: number;
}

/** Who did what (PRS 10.3): records in chains of hashes, which nobody can change unnoticed. */
export class Audit {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Newest first. */
  list(query: AuditQuery = {}, options: RequestOptions = {}): PagePromise<AuditRecord> {
    return new PagePromise<AuditRecord>(async (_after, next) => {
      const params = { query: pageQuery({ ...wireFilter(query), ...(query.limit !== undefined && { limit: query.limit }) }, next) };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/audit', { ...init, params }));
      return { items: list.records as AuditRecord[], hasMore: list.has_more, next: list.next };
    });
  }

  /**
   * The whole trail, oldest first, however long: it is read as fast as the loop takes it, and leaving the loop or
   * `signal` ends it at the server too.
   *
   * @throws ConnectionError where the connection breaks; the trail is whole only when the loop has ended by itself.
   */
  async *export(filter: AuditFilter = {}, options: RequestOptions = {}): AsyncGenerator<AuditRecord, void> {
    for await (const line of this.exportLines(filter, options)) yield JSON.parse(line) as AuditRecord;
  }

  /** As `export`, each record in the very text that its hash was made of: for keeping, and for `agentos audit verify`. */
  async *exportLines(filter: AuditFilter = {}, options: RequestOptions = {}): AsyncGenerator<string, void> {
    const asLines = { ...options, headers: { Accept: 'application/x-ndjson', ...options.headers } };
    const body = await this.#session.call('stream', asLines, async (init) => {
      const answer = await this.#session.orchestrator.GET('/v1/audit:export', { ...init, params: { query: wireFilter(filter) }, parseAs: 'stream' });
      return { data: answer.data as Body | undefined, error: answer.error, response: answer.response };
    });
    for await (const line of readLines(body ?? null)) {
      // Lines that have arrived already are not given to a caller that has aborted.
      options.signal?.throwIfAborted();
      if (line !== '') yield line;
    }
  }
}

function wireFilter(filter: AuditFilter) {
  const { from, to, action, outcome, service } = filter;
  const named = { from, to, action, outcome, service, principal_id: filter.principalId, resource_type: filter.resourceType, resource_id: filter.resourceId, correlation_id: filter.correlationId, tenant_id: filter.tenantId };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) as { [Name in keyof typeof named]?: NonNullable<(typeof named)[Name]> };
}
