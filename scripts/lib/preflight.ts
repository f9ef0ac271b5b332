/** What must be right before anything is started: Node.js, settings, and ports that nobody else holds. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { ensureEnvFile } from './env-file.ts';
import { CliError, EXIT } from './errors.ts';
import { signingKeyFile } from './identity.ts';
import { nodesOf, prefixOf } from './nodes.ts';
import { describeHolder, holderOf, isPortFree } from './ports.ts';
import { postgresStatus } from './postgres/index.ts';
import { repositoryRoot } from './repository.ts';
import { buildIsStale } from './services/build.ts';
import { SERVICES } from './services/catalog.ts';
import { adoptLostServices } from './services/lost.ts';
import { livingState } from './services/state.ts';
import { checkMode, clientHost, serviceEnvironment, type Settings } from './settings.ts';
import { ensureStateFolder } from './state-folder.ts';

export interface PreflightResult {
  readonly detail: string;
  /** Things that work but that a person should know. */
  readonly warnings: readonly string[];
}

export async function preflight(settings: Settings): Promise<PreflightResult> {
  checkNode();
  const nodes = nodesOf(settings);
  for (const node of nodes) ensureStateFolder(node.home);
  // The report comes last; that it cannot be written should not.
  mkdirSync(settings.reportsDir, { recursive: true });
  accessSync(settings.reportsDir, constants.W_OK);
  const envFileMade = ensureEnvFile(settings.envFile, { mode: settings.mode });
  const openFiles = nodes.flatMap((node) => checkMode(node, serviceEnvironment(node, { databaseUrlFile: null, signingKeyFile: signingKeyFile(node.home) })));
  const found = nodes.flatMap((node) => adoptLostServices(node.home).map((service) => `${prefixOf(node)}${service}`));
  await checkPorts(...nodes);
  const warnings = [...new Set([...nodes.flatMap((node) => node.config.warnings), ...openFiles])];
  if (!existsSync(path.join(repositoryRoot, 'dist', 'services'))) warnings.push('Nothing is built: the services run from source, which starts slower. Build with: npm run build');
  else if (buildIsStale()) warnings.push('The source is newer than the build that runs. Build with: npm run build');
  if (settings.profile === 'gpu-node') warnings.push(`Profile ${settings.profile} starts what local starts in this version: one node, the built-in or a configured model.`);
  return { detail: `Node.js ${process.version}, mode ${settings.mode}, ports free or this node's own, settings in ${settings.envFile}${envFileMade ? ' (made)' : ''}${found.length === 0 ? '' : `; found again without their state file: ${found.join(', ')}`}`, warnings };
}

/** As `engines` in package.json says: what undici and zlib.crc32 need. */
const OLDEST_NODE = '20.18.1';

/** @throws CliError for a Node.js that is too old. */
export function checkNode(version = process.versions.node): void {
  const [wanted, found] = [OLDEST_NODE, version].map((text) => text.split('.').map(Number)) as [number[], number[]];
  const at = wanted.findIndex((part, index) => part !== (found[index] ?? 0));
  if (at === -1 || found[at]! > wanted[at]!) return;
  throw new CliError(`Node.js v${version} is too old`, { exitCode: EXIT.dependency, evidence: [`AgentOS needs Node.js ${OLDEST_NODE} or newer`], next: 'install the newest Node.js 20, 22 or 24' });
}

/** Names every taken port with its holder at once, before anything starts. */
export async function checkPorts(...nodes: readonly Settings[]): Promise<void> {
  const wanted = nodes.flatMap(wantedPorts);
  refuseDoubles(wanted);
  const taken: string[] = [];
  const variables: string[] = [];
  const written: string[] = [];
  for (const { node, what, host, port, variable } of wanted) {
    if (await isPortFree(port, host)) continue;
    taken.push(`port ${port} (${what}) on ${clientHost(node)} is held by ${describeHolder(holderOf(port))}`);
    (node.node === 'node-a' ? variables : written).push(node.node === 'node-a' ? `${variable}=<free port>` : `${variable}=<free port> in ${node.envFile}`);
  }
  if (taken.length === 0) return;
  throw new CliError(`${taken.length === 1 ? 'a port is' : `${taken.length} ports are`} taken; nothing was started`, {
    exitCode: EXIT.configuration,
    evidence: taken,
    next: `stop the holder, or choose other ports: ${[...written, `${variables.join(' ')} agentos up`.trim()].join(', then ')}`,
  });
}

interface WantedPort {
  readonly node: Settings;
  readonly what: string;
  readonly host: string;
  readonly port: number;
  readonly variable: string;
}

/** Those that nobody of this node listens on yet. */
function wantedPorts(node: Settings): readonly WantedPort[] {
  const of = (what: string, port: number, variable: string, host = node.host): WantedPort => ({ node, what: `${prefixOf(node)}${what}`, host, port, variable });
  const wanted = SERVICES.filter((service) => livingState(node.home, service.name)?.port !== node.ports[service.name]).map((service) => of(service.name, node.ports[service.name], service.portVariable));
  // A Federation that lives has this port already, or opens it when it is started anew.
  if (node.peerPort !== null && livingState(node.home, 'federation') === null) wanted.push(of('federation, for peers', node.peerPort, 'AGENTOS_FED_PEER_PORT', node.config.values.AGENTOS_FED_PEER_HOST));
  if (node.databaseUrl === null && node.postgresPort !== null && postgresStatus(node.home) === null) wanted.push(of('postgres', node.postgresPort, 'AGENTOS_POSTGRES_PORT'));
  return wanted;
}

function refuseDoubles(wanted: readonly WantedPort[]): void {
  for (const [index, row] of wanted.entries()) {
    const other = wanted.slice(0, index).find((earlier) => earlier.port === row.port && row.port !== 0);
    if (other === undefined) continue;
    throw new CliError(`${other.what} and ${row.what} are both to listen on port ${row.port}`, { exitCode: EXIT.configuration, evidence: [`${other.variable}=${row.port}`, `${row.variable}=${row.port}`], next: `set ${row.variable} to another port` });
  }
}
