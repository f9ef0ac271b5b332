/** POST /v1/federation/runs/{run_id}:cancel: on the node that executes it (C-29, C-58). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { RunLocation } from '../forwarding/run-location.ts';
import { runAnswer } from './run-answer.ts';

export const cancelFederatedRun = (runs: RunLocation): FederationHandlers['cancelFederatedRun'] =>
  async ({ path, auth, context }) => ({ status: 200, body: runAnswer(await runs.cancelRun(auth, path.run_id, context), auth, context) });
