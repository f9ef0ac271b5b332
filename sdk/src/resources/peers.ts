import type { Peer, PeerCapabilities } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { member } from '../member.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** This node as other nodes see it (PRS 7.2, Appendix F). */
export class Peers {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  info(options: RequestOptions = {}): ApiPromise<Peer> {
    return this.#session.call('read', options, async (init) => {
      const answer = await this.#session.federation.GET('/v1/peer/info', init);
      return { data: answer.data?.peer as Peer | undefined, error: answer.error, response: answer.response };
    });
  }

  capabilities(options: RequestOptions = {}): ApiPromise<PeerCapabilities> {
    return this.#session.call('read', options, async (init) => {
      const answer = await this.#session.federation.GET('/v1/peer/capabilities', init);
      return { data: answer.data?.capabilities as PeerCapabilities | undefined, error: answer.error, response: answer.response };
    });
  }

  /** The other nodes that this one knows. */
  list(options: RequestOptions = {}): ApiPromise<readonly Peer[]> {
    return this.#session.call('read', options, async (init) => member<readonly Peer[]>(await this.#session.federation.GET('/v1/federation/peers', init), 'peers'));
  }
}
