import { bringUp, bringUpPhases, newState, renewServices } from '../lib/bring-up.ts';
import type { Command, CommandContext } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { requireAllKept, takeInventory, type Inventory } from '../lib/inventory.ts';
import type { Phase } from '../lib/phases.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';
import { isStateFolder } from '../lib/state-folder.ts';

export const command: Command = {
  name: 'redeploy',
  summary: 'Apply this version and these settings to the node that is there; its data stays',
  examples: ['agentos redeploy', 'AGENTOS_WORKER_CONCURRENCY=128 agentos redeploy'],
  async run(context) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile });
    if (!isStateFolder(settings.home)) throw new CliError('there is no node here to redeploy', { exitCode: EXIT.gate, evidence: [settings.home], next: 'agentos up' });
    const state = newState();
    const { report, file } = await bringUp(context, settings, state, {
      action: 'redeploy',
      phases: redeployPhases(context, settings, state),
      remediation: { afterSuccess: ['npx agentos validate checks more'], afterFailure: ['npx agentos redeploy is safe to repeat', 'npx agentos status'] },
    });
    const kept = report.phases.find((phase) => phase.name === 'kept')?.detail ?? '';
    context.output.result(report, `redeployed in ${formatMs(report.duration_ms)}; all there: ${kept}\nreport: ${file}`);
    return EXIT.ok;
  },
};

/** Those of `up`, with new processes between the database and the checks, and what tenants have counted around them. */
function redeployPhases(context: CommandContext, settings: Settings, state: ReturnType<typeof newState>): readonly Phase[] {
  const phases = bringUpPhases(context, settings, state);
  const booted = phases.findIndex((phase) => phase.name === 'boot') + 1;
  let before: readonly Inventory[] = [];
  const count = (): Promise<Inventory[]> => Promise.all(state.booted.map((booted) => takeInventory(booted.databaseUrl)));
  return [
    ...phases.slice(0, booted),
    {
      name: 'renew',
      title: 'a new process for each service',
      run: async (tell) => {
        before = await count();
        return renewServices(context, settings, tell);
      },
    },
    ...phases.slice(booted),
    { name: 'kept', title: 'what tenants have is there', run: async () => (await count()).map((after, index) => requireAllKept(before[index]!, after)).join('; ') },
  ];
}
