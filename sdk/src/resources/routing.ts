import type { RoutingCanary, RoutingCatalogue } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member } from '../member.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** Which models the node has and how one is chosen (PRS 6); needs the scope `routing:admin`. */
export class Routing {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** What is in effect, without secrets, with the state of each backend. */
  get(options: RequestOptions = {}): ApiPromise<RoutingCatalogue> {
    return this.#session.call('read', options, async (init) => member<RoutingCatalogue>(await this.#session.modelPolicy.GET('/v1/admin/routing', init), 'catalogue'));
  }

  /** Reads the configuration again. @throws ConflictError with the places where it is wrong; what was in effect stays. */
  reload(options: RequestOptions = {}): ApiPromise<RoutingCatalogue> {
    return this.#session.call('mutation', options, async (init) => member<RoutingCatalogue>(await this.#session.modelPolicy.POST('/v1/admin/routing:reload', init), 'catalogue'));
  }

  /** Models that are tried out on a share of the calls, and how they do. */
  canaries(options: RequestOptions = {}): ApiPromise<readonly RoutingCanary[]> {
    return this.#session.call('read', options, async (init) => member<readonly RoutingCanary[]>(await this.#session.modelPolicy.GET('/v1/admin/canaries', init), 'canaries'));
  }

  /** No call gets the canary any more, on this node, until the configuration says otherwise. */
  rollBackCanary(name: string, options: RequestOptions = {}): ApiPromise<RoutingCanary> {
    return this.#session.call('mutation', options, async (init) =>
      member<RoutingCanary>(await this.#session.modelPolicy.POST('/v1/admin/canaries/{canary_name}:rollback', { ...init, params: { path: { canary_name: name } } }), 'canary'),
    );
  }
}
