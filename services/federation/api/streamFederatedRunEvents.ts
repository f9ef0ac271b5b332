/** GET /v1/federation/runs/{run_id}/events: the stream of `streamRunEvents`, wherever the run executes (C-16, C-29). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';
import type { PeerCall } from '../ports/peer.ts';

/** @param after exclusive; null: from the beginning */
export type OpenRunEvents = (auth: AuthContext, runId: string, after: number | null, call: PeerCall) => Promise<AsyncIterable<SseFrame>>;

export const streamFederatedRunEvents = (open: OpenRunEvents): FederationHandlers['streamFederatedRunEvents'] =>
  async ({ path, query, auth, context }) => {
    const lastEventId = context.headers['last-event-id'];
    const after = query?.after_sequence ?? query?.from_sequence ?? (lastEventId === undefined ? null : Number(lastEventId));
    return { status: 200, stream: await open(auth, path.run_id, after, context) };
  };
