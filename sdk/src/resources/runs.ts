import type { Event, Run, RunBatchResult, RunCreateForAgentRequest, RunCreateRequest, RunReplayAnswer, RunRetryRequest, RunStatus } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import type { EventStreamOptions } from '../event-stream.ts';
import { member, pageQuery, whole } from '../member.ts';
import { PagePromise } from '../pages.ts';
import { followRun } from '../run-following.ts';
import type { CallInit, Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

export interface RunListQuery {
  readonly agentId?: string;
  /** One, or any of several. */
  readonly status?: RunStatus | readonly RunStatus[];
  /** All of these must hold. */
  readonly labels?: Readonly<Record<string, string>>;
  /** RFC 3339, inclusive. */
  readonly createdAfter?: string;
  /** RFC 3339, exclusive. */
  readonly createdBefore?: string;
  /** Runs that this run's agent started. */
  readonly parentRunId?: string;
  readonly priority?: 'low' | 'normal' | 'high';
  /** `newest` unless given. */
  readonly order?: 'newest' | 'oldest';
  /** Items a page, 1 to 200. */
  readonly limit?: number;
}

/** Runs: an agent invoked once, with everything that happened (PRS 4.2, Appendix D). */
export class Runs {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Starts a run. A string is shorthand for `{ input: … }`. The same idempotency key gives the same run. */
  create(agentId: string, request: RunCreateRequest | string, options: RequestOptions = {}): ApiPromise<Run> {
    const body: RunCreateRequest = typeof request === 'string' ? { input: request } : request;
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/agents/{agent_id}/runs', { ...init, params: { path: { agent_id: agentId } }, body })),
    );
  }

  get(runId: string, options: RequestOptions = {}): ApiPromise<Run> {
    return this.#session.call('read', options, (init) => this.#get(runId, init));
  }

  async #get(runId: string, init: CallInit): Promise<{ data?: Run | undefined; error?: unknown; response: Response }> {
    return unwrap(await this.#session.orchestrator.GET('/v1/runs/{run_id}', { ...init, params: { path: { run_id: runId } } }));
  }

  /** Ends a queued or running run. @throws ConflictError when it has ended already. */
  cancel(runId: string, options: RequestOptions = {}): ApiPromise<Run> {
    return this.#session.call('mutation', options, async (init) =>
      unwrap(await this.#session.orchestrator.POST('/v1/runs/{run_id}:cancel', { ...init, params: { path: { run_id: runId } } })),
    );
  }

  /** Each is admitted by itself: some may be created while others are refused. */
  createBatch(runs: readonly RunCreateForAgentRequest[], options: RequestOptions = {}): ApiPromise<readonly RunBatchResult[]> {
    return this.#session.call('mutation', options, async (init) =>
      member<readonly RunBatchResult[]>(await this.#session.orchestrator.POST('/v1/runs:batch', { ...init, body: { runs: [...runs] } }), 'results'),
    );
  }

  /** Runs an ended run again, as a new one. @throws ConflictError when it has not ended. */
  retry(runId: string, request: RunRetryRequest = {}, options: RequestOptions = {}): ApiPromise<Run> {
    return this.#session.call('mutation', options, async (init) =>
      member<Run>(await this.#session.orchestrator.POST('/v1/runs/{run_id}:retry', { ...init, params: { path: { run_id: runId } }, body: request }), 'run'),
    );
  }

  /** Takes the run's decisions again from its events, without a model or tool call. */
  replay(runId: string, options: RequestOptions = {}): ApiPromise<RunReplayAnswer> {
    return this.#session.call('mutation', options, async (init) =>
      whole<RunReplayAnswer>(await this.#session.orchestrator.POST('/v1/runs/{run_id}:replay', { ...init, params: { path: { run_id: runId } } })),
    );
  }

  /** The stored events, a page at a time; `events` follows a run instead. */
  history(runId: string, query: { readonly afterSequence?: number; readonly limit?: number } = {}, options: RequestOptions = {}): PagePromise<Event> {
    return new PagePromise<Event>(async (after) => {
      const cursor = after?.sequence ?? query.afterSequence;
      const params = { path: { run_id: runId }, query: { ...(query.limit !== undefined && { limit: query.limit }), ...(cursor !== undefined && { after_sequence: cursor }) } };
      const list = await this.#session.call('read', options, (init) => this.#session.orchestrator.GET('/v1/runs/{run_id}/history', { ...init, params }));
      return { items: list.events.map(({ event }) => event as Event), hasMore: list.has_more };
    });
  }

  /** Newest first unless `order` says otherwise. `for await` walks all pages. */
  list(query: RunListQuery = {}, options: RequestOptions = {}): PagePromise<Run> {
    const { orchestrator } = this.#session;
    return new PagePromise<Run>(async (after) => {
      const page = pageQuery(listParameters(query), after?.run_id);
      const list = await this.#session.call('read', options, (init) =>
        query.agentId === undefined
          ? orchestrator.GET('/v1/runs', { ...init, params: { query: page } })
          : orchestrator.GET('/v1/agents/{agent_id}/runs', { ...init, params: { path: { agent_id: query.agentId }, query: page } }),
      );
      return { items: list.runs as Run[], hasMore: list.has_more };
    });
  }

  /** The run's events in order, each once, up to the terminal one; broken connections are resumed. */
  events(runId: string, options: EventStreamOptions & RequestOptions = {}): AsyncGenerator<Event, void> {
    const { orchestrator } = this.#session;
    const params = (after: number) => ({ path: { run_id: runId }, query: { after_sequence: after } });
    const open = (after: number) => this.#session.call('stream', options, (init) => orchestrator.GET('/v1/runs/{run_id}/events', { ...init, params: params(after), parseAs: 'stream' }));
    return followRun(this.#session, { open, get: () => this.get(runId, options) }, options);
  }

  /** Waits until the run has ended and gives it. */
  async wait(runId: string, options: EventStreamOptions & RequestOptions = {}): Promise<Run> {
    for await (const event of this.events(runId, options)) void event;
    return this.get(runId, options);
  }

  /** Starts a run and waits until it has ended. */
  async createAndWait(agentId: string, request: RunCreateRequest | string, options: RequestOptions = {}): Promise<Run> {
    const run = await this.create(agentId, request, options);
    const { idempotencyKey: _used, ...rest } = options;
    return this.wait(run.run_id, rest);
  }
}

const unwrap = (answer: { data?: unknown; error?: unknown; response: Response }) => member<Run>(answer, 'run');

function listParameters(query: RunListQuery) {
  const { status, labels } = query;
  return {
    status: status === undefined || typeof status === 'string' ? status : [...status],
    label: labels && Object.entries(labels).map(([key, value]) => `${key}:${value}`),
    created_after: query.createdAfter,
    created_before: query.createdBefore,
    parent_run_id: query.parentRunId,
    priority: query.priority,
    order: query.order,
    limit: query.limit,
  };
}
