/** Commands that are for one node: the first one, or with `--node node-b` the second one of the federated profile. */
import type { CommandContext, OptionRow, OptionValues } from './command.ts';
import { CliError, EXIT } from './errors.ts';
import { nodesThere } from './nodes.ts';
import { loadSettings, type Settings } from './settings.ts';

export const NODE_OPTION: OptionRow = { flags: '--node <node>', summary: 'node-b (or b): the second node of the federated profile', default: 'node-a' };

/** The settings of the node that was named, as it was brought up. @throws CliError usage where there is no such node. */
export function settingsOfNode({ global, output }: Pick<CommandContext, 'global' | 'output'>, options: OptionValues): Settings {
  const first = loadSettings({ mode: global.mode, profile: global.profile, asBroughtUp: true });
  const named = String(options['node'] ?? first.node);
  if (named === first.node || named === 'a') return first;
  const nodes = nodesThere(first);
  const node = nodes.find((each) => each.node === named || each.node === `node-${named}`);
  if (node === undefined) throw new CliError(`there is no ${named} here`, { exitCode: EXIT.usage, evidence: [`known: ${nodes.map((each) => each.node).join(', ')}`], next: 'agentos up --profile federated   (brings up a second node)' });
  // Whoever acts by a key of their own should not find out later that they acted as the operator.
  if (first.apiKey !== null && node.apiKey === null && node.mode !== 'demo') output.note(`AGENTOS_API_KEY is for ${first.node}; on ${node.node} this is done with the key that agentos up made there. One of your own goes into ${node.envFile}`);
  return node;
}
