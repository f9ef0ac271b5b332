/** Whether events of a run may be taken from a node, by what this node knows of the run. */
import type { Run } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { Nodes } from '../forwarding/nodes.ts';
import type { ForwardIndexPort } from '../ports/forward-index.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import type { IngestCall } from './ingest.ts';

/** `agentId`: as far as it is known here. */
export type RunVerdict = { readonly agentId: string | null } | { readonly refused: 'run_is_local' | 'run_not_forwarded' | 'source_mismatch' | 'too_many_runs' };
export type RunJudge = (auth: AuthContext, runIds: ReadonlySet<string>, sourceStackId: string, call: IngestCall) => Promise<ReadonlyMap<string, RunVerdict>>;

export interface RunJudgeParts {
  readonly nodes: Pick<Nodes, 'own' | 'target'>;
  readonly index: Pick<ForwardIndexPort, 'findByRun'>;
  readonly replica: Pick<ReplicaPort, 'read'>;
}

/** Runs of one batch that nothing is known of yet. Each costs a question, so one request must not cause any number of them. */
const MOST_NEW_RUNS = 256;
/** Runs of one batch of a caller: another node is asked for each of them. */
const MOST_RUNS_OF_CALLERS = 32;
const AT_ONCE = 8;
/** Runs that are known not to be of this node. */
const REMEMBERED = 20_000;

/** Where a run came from stays as it is, so it is asked once. */
interface KnownRun {
  /** null: not forwarded from here. */
  readonly forwardedTo: string | null;
  readonly agentId: string | null;
}

export function createRunJudge({ nodes, index, replica }: RunJudgeParts): RunJudge {
  const known = new Map<string, KnownRun>();

  const look = async (auth: AuthContext, runId: string, call: IngestCall): Promise<KnownRun | 'local'> => {
    const forward = await index.findByRun(auth, runId);
    if (forward !== null) return forward.targetStackId === nodes.own.stack_id ? 'local' : { forwardedTo: forward.targetStackId, agentId: forward.agentId };
    const [first] = await replica.read(auth, runId, { sequence: -1, limit: 1 });
    if (first !== undefined) return { forwardedTo: null, agentId: first.agent_id };
    return (await isOfThisNode(nodes, auth, runId, call)) ? 'local' : { forwardedTo: null, agentId: null };
  };

  const judge = async (auth: AuthContext, runId: string, source: string, call: IngestCall): Promise<RunVerdict> => {
    const key = `${auth.tenant_id}\u001f${runId}`;
    const run = known.get(key) ?? (await look(auth, runId, call));
    if (run === 'local') return { refused: 'run_is_local' };
    // A run without an agent is one that nobody has told of yet; the next batch may know more.
    if (run.agentId !== null || run.forwardedTo !== null) known.set(key, run);
    if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
    if (run.forwardedTo !== null && run.forwardedTo !== source) return { refused: 'source_mismatch' };
    // Of its own runs a node may tell whatever it was asked from; a caller has runs elsewhere by forwarding them.
    return run.forwardedTo === null && auth.peer === undefined ? { refused: 'run_not_forwarded' } : { agentId: run.agentId };
  };

  return async (auth, runIds, source, call) => {
    const verdicts = new Map<string, RunVerdict>();
    const waiting = [...runIds];
    const fresh = waiting.filter((runId) => !known.has(`${auth.tenant_id}\u001f${runId}`));
    const tooMany = [...fresh.slice(MOST_NEW_RUNS), ...(auth.peer === undefined ? waiting.slice(MOST_RUNS_OF_CALLERS) : [])];
    for (const runId of tooMany) verdicts.set(runId, { refused: 'too_many_runs' });
    const worker = async (): Promise<void> => {
      for (let runId = waiting.pop(); runId !== undefined; runId = waiting.pop()) {
        if (!verdicts.has(runId)) verdicts.set(runId, await judge(auth, runId, source, call));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return verdicts;
  };
}

/** Asked for this alone, so it needs the right to read and no other. */
async function isOfThisNode(nodes: RunJudgeParts['nodes'], auth: AuthContext, runId: string, call: IngestCall): Promise<boolean> {
  const { peer, port } = nodes.target(nodes.own.stack_id);
  try {
    const run: Run = await port.getRun({ ...auth, scopes: ['runs:read'] }, peer, runId, call);
    return run.run_id === runId;
  } catch (error) {
    if (error instanceof AgentOsError && error.code === 'not_found') return false;
    throw error;
  }
}
