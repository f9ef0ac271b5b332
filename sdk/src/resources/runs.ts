import type { Event, Run, RunCreateRequest, RunStatus } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { readRunEvents, type EventStreamOptions } from '../event-stream.ts';
import { PagePromise } from '../pages.ts';
import type { CallInit, Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

const ENDED: ReadonlySet<RunStatus> = new Set(['completed', 'failed', 'canceled'] satisfies RunStatus[]);

export interface RunListQuery {
  readonly agentId?: string;
  readonly status?: RunStatus;
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

  /** Newest first. `for await` walks all pages. */
  list(query: RunListQuery = {}, options: RequestOptions = {}): PagePromise<Run> {
    return new PagePromise<Run>(async (after) => {
      const page = { ...(query.status && { status: query.status }), ...(query.limit && { limit: query.limit }), ...(after && { after: after.run_id }) };
      const { orchestrator } = this.#session;
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
    return readRunEvents(
      {
        open: async (after) => {
          const opened = await this.#session
            .call('stream', options, (init) => orchestrator.GET('/v1/runs/{run_id}/events', { ...init, params: params(after), parseAs: 'stream' }))
            .withResponse();
          return opened.data as ReadableStream<Uint8Array> | null;
        },
        hasEnded: async () => ENDED.has((await this.get(runId, options)).status),
      },
      this.#session.options,
      options,
    );
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

/** Takes the run out of its envelope and leaves the rest of the answer as it is. */
function unwrap(answer: { data?: { run: unknown } | undefined; error?: unknown; response: Response }): { data?: Run | undefined; error?: unknown; response: Response } {
  return { data: answer.data?.run as Run | undefined, error: answer.error, response: answer.response };
}
