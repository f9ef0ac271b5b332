import type { CliVersion } from '../../generated/types/index.ts';
import type { Command } from '../lib/command.ts';
import { EXIT } from '../lib/errors.ts';
import { agentosVersion } from '../lib/repository.ts';

export const command: Command = {
  name: 'version',
  summary: 'Print the version',
  async run({ output }) {
    const document: CliVersion = { command: 'version', version: agentosVersion, node_version: process.version };
    output.result(document, `agentos ${agentosVersion} (Node.js ${process.version})`);
    return EXIT.ok;
  },
};
