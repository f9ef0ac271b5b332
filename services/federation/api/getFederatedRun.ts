/** GET /v1/federation/runs/{run_id}: a run, asked of the node that executes it (C-29). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { RunLocation } from '../forwarding/run-location.ts';
import { runAnswer } from './run-answer.ts';

export const getFederatedRun = (runs: RunLocation): FederationHandlers['getFederatedRun'] =>
  async ({ path, auth, context }) => ({ status: 200, body: runAnswer(await runs.getRun(auth, path.run_id, context), auth, context) });
