import { readFileSync } from 'node:fs';
import type { CliRunLine, Run } from '../../generated/types/index.ts';
import type { AgentOS } from '../../sdk/src/index.ts';
import { createClient, explainClientError, tenantOf } from '../lib/client.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { CliError, EXIT, type ExitCode } from '../lib/errors.ts';
import { NODE_OPTION, settingsOfNode } from '../lib/one-node.ts';
import { replayText } from '../lib/replay.ts';
import { timelineLine } from '../lib/timeline.ts';

export const command: Command = {
  name: 'run',
  summary: 'Run an agent, watch its timeline, print its output; or replay a run',
  args: [
    { usage: '<agent>', summary: 'agent id, e.g. agt_review_summarizer_v1; or the word replay before a run id' },
    { usage: '[run_id]', summary: 'the run to replay: its decisions are taken again from its event log, without a model or tool call' },
  ],
  options: [
    { flags: '--input <text>', summary: 'what the agent is asked' },
    { flags: '--input-file <file>', summary: 'read it from a file; - is standard input' },
    { flags: '--tenant <id>', summary: 'the tenant to act for (default: that of AGENTOS_API_KEY, else the node\'s default tenant)' },
    { flags: '--no-wait', summary: 'create the run, print its id, and go' },
    NODE_OPTION,
  ],
  examples: [
    'agentos run agt_review_summarizer_v1 --input-file examples/reviews/reviews.txt',
    'agentos run agt_demo --input "hello"',
    'cat notes.txt | agentos run agt_demo --input-file -',
    'agentos run replay run_01JH9Y0Q2KQ4R7S7X6G0M3E4F8',
  ],
  async run(context, args, options) {
    if (args[1] !== undefined) return replayOne(context, args[0] ?? '', args[1], options);
    const agentId = args[0] ?? '';
    const input = readInput(options);
    const settings = settingsOfNode(context, options);
    const client = await createClient(settings, 'tenant', tenantOf(settings, options['tenant']));
    try {
      const timeoutMs = context.global.timeoutMs;
      const request = { input, ...(timeoutMs === null ? {} : { run_options: { timeout_ms: timeoutMs } }) };
      const run = await client.runs.create(agentId, request, { signal: context.signal });
      if (options['wait'] === false) {
        context.output.line({ kind: 'result', run } satisfies CliRunLine, run.run_id);
        return EXIT.ok;
      }
      return await watch(context, client, run);
    } catch (error) {
      throw await explainClientError(error, `${agentId} could not be run`);
    }
  },
};

/** Exits 1 where the log lacks something or leads to other decisions. */
async function replayOne(context: CommandContext, word: string, runId: string, options: OptionValues): Promise<ExitCode> {
  if (word !== 'replay') throw new CliError(`"${word} ${runId}" is nothing to run`, { exitCode: EXIT.usage, evidence: ['one agent can be run at a time'], next: `agentos run ${word} --input "hello"` });
  const { output, signal } = context;
  const settings = settingsOfNode(context, options);
  const client = await createClient(settings, 'tenant', tenantOf(settings, options['tenant']));
  try {
    const replay = await client.runs.replay(runId, { signal });
    output.result(replay, replayText(replay, output.style));
    return replay.agreed ? EXIT.ok : EXIT.gate;
  } catch (error) {
    throw await explainClientError(error, `${runId} could not be replayed`);
  }
}

/** Shows the timeline to the end. Ctrl-C cancels the run itself, so that nothing goes on unseen. */
async function watch(context: CommandContext, client: AgentOS, run: Run): Promise<ExitCode> {
  const { output, signal } = context;
  const startedAt = Date.parse(run.created_at);
  output.note(output.style('dim', `run ${run.run_id} of ${run.agent_id}, tenant ${run.tenant_id}`));
  try {
    for await (const event of client.runs.events(run.run_id, { signal })) {
      if (output.json) output.line({ kind: 'event', event } satisfies CliRunLine, '');
      else output.note(timelineLine(event, startedAt));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return cancel(context, client, run.run_id);
  }
  const finished = await client.runs.get(run.run_id);
  if (output.json) output.line({ kind: 'result', run: finished } satisfies CliRunLine, '');
  if (finished.status === 'completed') {
    output.note('');
    if (!output.json) output.line(null, finished.output?.text ?? '');
    return EXIT.ok;
  }
  throw new CliError(`run ${run.run_id} ${finished.status}${finished.error ? `: ${finished.error.message}` : ''}`, {
    exitCode: EXIT.gate,
    evidence: finished.error ? [`code ${finished.error.code}, retryable ${finished.error.retryable}`, `correlation_id ${finished.correlation_id ?? 'unknown'}`] : [],
    next: 'agentos logs agent-orchestrator --since 1m',
  });
}

async function cancel({ output }: CommandContext, client: AgentOS, runId: string): Promise<ExitCode> {
  try {
    await client.runs.cancel(runId, { timeout: 5_000, maxRetries: 0 });
    output.note(`canceled ${runId}`);
  } catch (error) {
    output.note(`${runId} could not be canceled: ${(error as Error).message}`);
  }
  return EXIT.interrupted;
}

function readInput(options: OptionValues): string {
  const { input, inputFile } = options;
  if (typeof input === 'string' && typeof inputFile === 'string') throw new CliError('--input and --input-file exclude each other', { exitCode: EXIT.usage, next: 'give one of them' });
  if (typeof input === 'string') return input;
  if (typeof inputFile !== 'string') throw new CliError('nothing to work on', { exitCode: EXIT.usage, evidence: ['neither --input nor --input-file was given'], next: 'agentos run <agent> --input "hello"' });
  try {
    return readFileSync(inputFile === '-' ? 0 : inputFile, 'utf8');
  } catch (cause) {
    throw new CliError(`${inputFile} cannot be read`, { exitCode: EXIT.usage, evidence: [(cause as Error).message], next: 'agentos run <agent> --input-file <an existing file>', cause });
  }
}
