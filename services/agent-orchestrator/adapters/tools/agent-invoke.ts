/** tool.agent.invoke: runs another agent and answers with its output. Waiting for it keeps no worker busy. */
import { AgentOsError } from '../../../platform/errors.ts';
import type { ChildRuns } from '../../runtime/child-runs.ts';
import { AGENT_INVOKE_TOOL } from '../../runtime/progress.ts';
import type { BuiltinTool } from './builtin-tool.ts';

export const agentInvokeTool = (children: ChildRuns): BuiltinTool => ({
  toolId: AGENT_INVOKE_TOOL,
  name: 'agent_invoke',
  description: 'Runs another agent with a text as its input and answers with what it says.',
  inputSchema: {
    type: 'object',
    properties: {
      agent_id: { type: 'string', minLength: 1, maxLength: 128, description: 'The agent to run.' },
      input: { type: 'string', minLength: 1, maxLength: 200_000, description: 'What it is asked.' },
    },
    required: ['agent_id', 'input'],
    additionalProperties: false,
  },
  reach(input) {
    const agentId = (input as { agent_id?: unknown } | null)?.agent_id;
    return typeof agentId === 'string' ? [{ kind: 'agent', name: agentId }] : [];
  },
  async run(auth, input, _signal, invocation) {
    const { agent_id: agentId, input: text } = input as { agent_id: string; input: string };
    if (invocation?.run === undefined) throw new AgentOsError('invalid_request', { message: 'Only a run can run another agent.', details: { tool_id: AGENT_INVOKE_TOOL } });
    const { toolCallId, traceparent, run } = invocation;
    return children.call(auth, run, { agentId, text, toolCallId, traceparent });
  },
});
