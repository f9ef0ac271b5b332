/** The runs that the corpus is recorded from: one for each way in which a history can go. */
import { AgentOsError } from '../../services/platform/errors.ts';
import { runCanceled } from '../../services/agent-orchestrator/events/drafts.ts';
import type { NewRun, RunStatePort } from '../../services/agent-orchestrator/ports/run-state.ts';
import { ToolAwaitsRun, type ToolPort } from '../../services/agent-orchestrator/ports/tool.ts';
import { executeRun } from '../../services/agent-orchestrator/runtime/executor.ts';
import { AUTH, ScriptedModel, agent, says, toolCalls, type RuntimeHarness } from '../../services/agent-orchestrator/runtime/runtime.fixture.ts';

export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly model: () => ScriptedModel;
  readonly run?: Parameters<RuntimeHarness['create']>[0];
  /** Instead of executing the run once, to its end. */
  readonly play?: (harness: RuntimeHarness, runId: string) => Promise<void>;
}

const never = new AbortController().signal;
const echo = () => toolCalls({ tool: 'tool.echo', input: { text: 'x' } });

export const SCENARIOS: readonly Scenario[] = [
  { name: 'plain', about: 'One model call.', model: () => new ScriptedModel(says('Hi.')) },
  {
    name: 'tools', about: 'Two tools in one answer, one called by its name.',
    model: () => new ScriptedModel(toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: { n: 7, list: [1, null, 'ü'] } } }, { tool: 'kv_get', input: { key: 'k' } }), says('Seven.')),
  },
  { name: 'forced-tool', about: 'An agent that names the tool to begin with.', model: () => new ScriptedModel(echo(), says('x')), run: { agent: agent({ toolChoice: 'tool.echo' }) } },
  { name: 'refused-tool', about: 'A tool that the agent does not have.', model: () => new ScriptedModel(toolCalls({ tool: 'tool.text.stats', input: {} }), says('Then not.')) },
  { name: 'unknown-tool', about: 'A tool that does not exist.', model: () => new ScriptedModel(toolCalls({ tool: 'nonsense', input: 'not an object' }), says('Then not.')) },
  { name: 'failed-tool', about: 'A tool that fails, which the model is told.', model: () => new ScriptedModel(toolCalls({ tool: 'tool.echo', input: {} }), says('It failed.')) },
  { name: 'aborting-agent', about: 'A tool that fails under an agent that gives up then.', model: () => new ScriptedModel(toolCalls({ tool: 'tool.echo', input: {} })), run: { agent: agent({ onToolFailure: 'abort' }) } },
  { name: 'blocked-model', about: 'A model call that policy refused.', model: () => new ScriptedModel(new AgentOsError('policy_blocked', { message: 'Not this.', details: { rule: 'r1' } })) },
  { name: 'silent-model', about: 'A model call that timed out.', model: () => new ScriptedModel(new AgentOsError('timeout', { message: 'Late.' })) },
  { name: 'endless', about: 'A run that uses all its steps.', model: () => new ScriptedModel(echo()), run: { options: { maxSteps: 4 } } },
  { name: 'no-time', about: 'A run whose time was up before it began.', model: () => new ScriptedModel(says('late')), run: { options: { timeoutMs: 0 } } },
  { name: 'dry', about: 'A dry run.', model: () => new ScriptedModel(says('never')), run: { options: { dryRun: true }, tooling: { allowlist: ['tool.echo', 'tool.absent'], denylist: ['tool.kv.put'] } } },
  {
    name: 'conversation', about: 'Messages as input.', model: () => new ScriptedModel(says('Yes.')),
    run: { input: { type: 'messages', text: 'And?', messages: [{ role: 'user', content: 'A' }, { role: 'assistant', content: 'B' }, { role: 'user', content: 'And?' }] } },
  },
  {
    name: 'canceled', about: 'Canceled between two steps.', model: () => new ScriptedModel(echo(), says('never')),
    async play(harness, runId) {
      await executeRun({ ...harness.dependencies, tools: answering(harness.dependencies.tools, () => harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'))) }, await harness.claim(), never);
    },
  },
  {
    name: 'taken-over', about: 'Taken over by a second worker in the middle of a tool call.', model: () => new ScriptedModel(echo(), says('x')),
    async play(harness) {
      const dying: RunStatePort = bind(harness.runState, 2);
      await executeRun({ ...harness.dependencies, runState: dying }, await harness.claim({ leaseMs: -1 }), never).catch(() => undefined);
      await executeRun(harness.dependencies, await harness.claim(), never);
    },
  },
  {
    name: 'called-agent', about: 'A tool whose answer was another run’s: the run waited in between.',
    model: () => new ScriptedModel(toolCalls({ tool: 'tool.agent.invoke', input: { agent_id: 'agt_leaf', input: 'x' } }), says('done')),
    run: { agent: agent({ tools: ['tool.agent.invoke'], permissions: { agents: ['agt_leaf'] } }) },
    async play(harness) {
      let calls = 0;
      const tools: ToolPort = {
        capabilities: () => harness.dependencies.tools.capabilities(),
        list: async () => [{ toolId: 'tool.agent.invoke', name: 'agent_invoke', description: '', inputSchema: { type: 'object' } }],
        invoke: async () => {
          if ((calls += 1) === 1) throw new ToolAwaitsRun('run_child');
          return { run_id: 'run_child', agent_id: 'agt_leaf', output: { type: 'text', text: 'x' } };
        },
      };
      const claimed = await harness.claim();
      await executeRun({ ...harness.dependencies, tools }, claimed, never);
      await harness.queue.wake(AUTH, claimed.run.runId);
      await executeRun({ ...harness.dependencies, tools }, await harness.claim(), never);
    },
  },
];

export const overridesOf = (scenario: Scenario): NonNullable<Scenario['run']> & Partial<Pick<NewRun, 'runId'>> => ({ ...scenario.run, runId: `run_corpus_${scenario.name}` });

function answering(tools: ToolPort, before: () => Promise<unknown>): ToolPort {
  return {
    capabilities: () => tools.capabilities(),
    list: (auth) => tools.list(auth),
    async invoke(auth, invocation) {
      await before();
      return tools.invoke(auth, invocation);
    },
  };
}

/** A store whose worker dies at its nth transition. */
function bind(port: RunStatePort, dieAt: number): RunStatePort {
  return new Proxy(port, {
    get(target, name: keyof RunStatePort) {
      if (name !== 'advance') return (target[name] as (...values: unknown[]) => unknown).bind(target);
      const advance: RunStatePort['advance'] = (auth, lease, transition) => (transition.expectedStep < dieAt ? target.advance(auth, lease, transition) : Promise.reject(new Error('killed')));
      return advance;
    },
  });
}
