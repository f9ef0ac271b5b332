import type { Event, FederationEventsIngestAnswer, FederationForwardAnswer, ForwardRunRequest, Run, TargetSelector } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import type { EventStreamOptions } from '../event-stream.ts';
import { member, whole } from '../member.ts';
import { followRun } from '../run-following.ts';
import type { CallInit, Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

export type ForwardedRun = FederationForwardAnswer['forwarded'];

/** Runs that execute on another node, and stay in reach of this one (PRS 7.3, Appendix F). */
export class Federation {
  readonly #session: Session;
  /** Tenant of the credential, where nobody named it: asked once. */
  #tenant: Promise<string> | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Starts a run on another node: by its stack id, or by region and capabilities. The same idempotency key gives the
   * same run. @throws NotFoundError where nobody fits, ConflictError where nobody can, and what the other node refused with.
   */
  forward(target: TargetSelector | string, request: ForwardRunRequest, options: RequestOptions = {}): ApiPromise<ForwardedRun> {
    const selector = typeof target === 'string' ? { stack_id: target } : target;
    return this.#session.call('mutation', options, async (init) => {
      const body = { forward: { target_selector: selector, auth: { tenant_id: await this.#tenantOf(options) }, run_request: request } };
      return member<ForwardedRun>(await this.#session.federation.POST('/v1/federation/runs:forward', { ...init, body }), 'forwarded');
    });
  }

  /** The run as the node that executes it knows it. */
  get(runId: string, options: RequestOptions = {}): ApiPromise<Run> {
    return this.#session.call('read', options, (init) => this.#get(runId, init));
  }

  async #get(runId: string, init: CallInit): Promise<{ data?: Run | undefined; error?: unknown; response: Response }> {
    return member<Run>(await this.#session.federation.GET('/v1/federation/runs/{run_id}', { ...init, params: { path: { run_id: runId } } }), 'run');
  }

  /** Ends it where it executes. @throws ConflictError when it has ended already. */
  cancel(runId: string, options: RequestOptions = {}): ApiPromise<Run> {
    return this.#session.call('mutation', options, async (init) =>
      member<Run>(await this.#session.federation.POST('/v1/federation/runs/{run_id}:cancel', { ...init, params: { path: { run_id: runId } } }), 'run'),
    );
  }

  /** Its events in order, each once, up to the terminal one; broken connections are resumed, here and between the nodes. */
  events(runId: string, options: EventStreamOptions & RequestOptions = {}): AsyncGenerator<Event, void> {
    const { federation } = this.#session;
    const params = (after: number) => ({ path: { run_id: runId }, query: { after_sequence: after } });
    const open = (after: number) => this.#session.call('stream', options, (init) => federation.GET('/v1/federation/runs/{run_id}/events', { ...init, params: params(after), parseAs: 'stream' }));
    return followRun(this.#session, { open, get: () => this.get(runId, options) }, options);
  }

  /** Waits until the run has ended and gives it. */
  async wait(runId: string, options: EventStreamOptions & RequestOptions = {}): Promise<Run> {
    for await (const event of this.events(runId, options)) void event;
    return this.get(runId, options);
  }

  /** Hands over events of runs that were forwarded to that node, which is asked whether they are so; what was there already counts as rejected. */
  ingest(sourceStackId: string, events: readonly Event[], options: RequestOptions = {}): ApiPromise<FederationEventsIngestAnswer> {
    const body = { events: [...events], ingest: { source_stack_id: sourceStackId, dedupe: { mode: 'event_id' as const } } };
    return this.#session.call('mutation', options, async (init) =>
      whole<FederationEventsIngestAnswer>(await this.#session.federation.POST('/v1/federation/events:ingest', { ...init, body })),
    );
  }

  #tenantOf(options: RequestOptions): Promise<string> | string {
    const named = options.tenantId ?? this.#session.options.tenantId ?? process.env['AGENTOS_TENANT_ID'];
    if (named !== undefined && named !== '') return named;
    this.#tenant ??= this.#session
      .call('read', {}, async (init) => member<string>(await this.#session.federation.GET('/v1/federation/peer', init), 'tenant_id'))
      .then((tenantId) => tenantId, (error: unknown) => {
        this.#tenant = null;
        throw error;
      });
    return this.#tenant;
  }
}
