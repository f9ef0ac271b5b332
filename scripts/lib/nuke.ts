/**
 * Stopping a node and, with `hard`, removing what it wrote. Everything that could make removal reach further than the
 * node's own data is checked before anything is touched: the folders must carry the node's markers and must not be
 * links, and a pid is signalled only while its command line is the service's.
 */
import { existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { stopStack } from './alerting/stack.ts';
import { CliError, EXIT } from './errors.ts';
import { nodesThere, onEach, prefixOf } from './nodes.ts';
import type { Phase } from './phases.ts';
import { isCluster, MARKER_FILE } from './postgres/cluster.ts';
import { stopPostgres } from './postgres/index.ts';
import { dataDirOf, logFileOf, pointerFile } from './postgres/placement.ts';
import { SERVICES, type ServiceEntry } from './services/catalog.ts';
import { stopService } from './services/control.ts';
import { adoptLostServices } from './services/lost.ts';
import type { Settings } from './settings.ts';
import { HOME_MARKER, isStateFolder } from './state-folder.ts';

export interface NukePlan {
  readonly nothingThere: boolean;
  phases(removed: string[]): readonly Phase[];
}

/** @throws CliError configuration when a folder is not surely the node's own. */
export function planNuke(settings: Settings, hard: boolean): NukePlan {
  const nothingThere = lstatSync(settings.home, { throwIfNoEntry: false }) === undefined;
  // The second node lies within the first one's folder, so it goes before it.
  const nodes = nothingThere ? [settings] : [...nodesThere(settings)].reverse();
  for (const node of nodes) refuseForeignFolders(node, hard);
  return {
    nothingThere,
    phases: (removed) => [
      { name: 'observability', title: 'stopping what watches it', run: (tell) => onEach(nodes, tell, (node) => stopObservability(node, removed)) },
      { name: 'services', title: 'stopping the services', run: (tell) => onEach(nodes, tell, (node, tellOfNode) => stopServices(node, removed, tellOfNode)) },
      { name: 'postgres', title: 'stopping Postgres', run: (tell) => onEach(nodes, tell, (node) => stopDatabase(node, removed)) },
      ...(hard ? [{ name: 'data', title: 'removing the data', run: (tell: (detail: string) => void) => onEach(nodes, tell, (node) => removeData(node, removed)) }] : []),
    ],
  };
}

function refuseForeignFolders({ home }: Settings, hard: boolean): void {
  if (lstatSync(home, { throwIfNoEntry: false }) === undefined) return;
  refuseForeign(home, isStateFolder(home), HOME_MARKER);
  const dataDir = dataDirOf(home);
  if (hard && lstatSync(dataDir, { throwIfNoEntry: false }) !== undefined) refuseForeign(dataDir, isCluster(dataDir), MARKER_FILE);
}

function refuseForeign(folder: string, isOurs: boolean, marker: string): void {
  const link = lstatSync(folder).isSymbolicLink();
  if (isOurs && !link) return;
  throw new CliError(`${folder} is not surely a folder of agentos; nothing was touched`, {
    exitCode: EXIT.configuration,
    evidence: [link ? 'it is a symbolic link' : `it lacks the marker file ${marker}`],
    next: 'set AGENTOS_HOME to the state folder, or remove the folder by hand if you are sure',
  });
}

/** Model Policy last: the others may need it to finish the work they hold. */
export async function stopServices(settings: Settings, stopped: string[], tell: (detail: string) => void): Promise<string> {
  const stop = async (service: ServiceEntry): Promise<void> => {
    if (!(await stopService(service, settings.home))) return;
    stopped.push(`stopped ${prefixOf(settings)}${service.name}`);
    tell(stopped.at(-1)!);
  };
  const before = stopped.length;
  adoptLostServices(settings.home);
  await Promise.all(SERVICES.filter((service) => service.name !== 'model-policy').map(stop));
  await Promise.all(SERVICES.filter((service) => service.name === 'model-policy').map(stop));
  return stopped.length === before ? 'none was running' : `${stopped.length - before} stopped`;
}

async function stopObservability(settings: Settings, stopped: string[]): Promise<string> {
  const names = await stopStack(settings.home);
  stopped.push(...names.map((name) => `stopped ${prefixOf(settings)}${name}`));
  return names.length === 0 ? 'none was running' : `${names.length} stopped`;
}

async function stopDatabase(settings: Settings, stopped: string[]): Promise<string> {
  if (settings.databaseUrl !== null) return 'an external server is left alone (DATABASE_URL)';
  if (!(await stopPostgres(settings.home))) return 'it was not running';
  stopped.push(`stopped ${prefixOf(settings)}postgres`);
  return 'stopped';
}

async function removeData(settings: Settings, removed: string[]): Promise<string> {
  const { home } = settings;
  if (!existsSync(home)) return 'there was none';
  const dataDir = dataDirOf(home);
  const elsewhere = existsSync(pointerFile(home));
  for (const item of [dataDir, ...(elsewhere ? [logFileOf(home), pointerFile(home)] : [])]) remove(item, removed);
  if (elsewhere) removeEmpty(path.dirname(dataDir));
  for (const name of ['logs', 'state', 'secrets', 'audit', 'journal', 'federation', 'observability']) remove(path.join(home, name), removed);
  remove(path.join(home, HOME_MARKER), removed);
  removeEmpty(home);
  return `${removed.filter((line) => line.startsWith('removed')).length} removed`;
}

function remove(item: string, removed: string[]): void {
  if (lstatSync(item, { throwIfNoEntry: false }) === undefined) return;
  rmSync(item, { recursive: true, force: true });
  removed.push(`removed ${item}`);
}

/** What a person put there, the settings file and the reports stay. */
function removeEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
}
