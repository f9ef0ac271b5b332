/**
 * The nodes that a state folder holds: one, or the two of the federated profile. The second one is settings as the first
 * one is, and everything that brings up, looks at or ends a node takes them: it lives in `node-b` under the state folder
 * of the first, with a database, keys and certificates of its own, on ports that lie a hundred above.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseEnvFile } from '../../services/platform/config/env-file.ts';
import { logSourceNames } from './services/catalog.ts';
import { loadSettings, type Settings } from './settings.ts';
import { isStateFolder } from './state-folder.ts';

export const SECOND_NODE = 'node-b';
export const SECOND_STACK_ID = 'stk_local_node_b';
export const SECOND_REGION = 'local-b';
const PORT_OFFSET = 100;

/** What is one node's alone; all else that the first one was told, the second is told too. */
const OF_ONE_NODE = [
  'PORT', 'DATABASE_URL', 'AGENTOS_PORT', 'AGENTOS_ADMIN_PORT', 'AGENTOS_POSTGRES_PORT', 'AGENTOS_AGENT_ORCHESTRATOR_PORT', 'AGENTOS_MODEL_POLICY_PORT', 'AGENTOS_FEDERATION_PORT', 'AGENTOS_GATEWAY_PORT', 'AGENTOS_FED_PEER_PORT',
  'AGENTOS_AGENT_ORCHESTRATOR_URL', 'AGENTOS_MODEL_POLICY_URL', 'AGENTOS_FEDERATION_URL', 'AGENTOS_BASE_URL',
  'AGENTOS_HOME', 'AGENTOS_DATA_DIR', 'AGENTOS_ENV_FILE', 'AGENTOS_SIGNING_KEY', 'AGENTOS_SIGNING_KEY_PREVIOUS', 'AGENTOS_LOCAL_ISSUER_FILE', 'AGENTOS_JOURNAL_DIR', 'AGENTOS_AUDIT_KEY', 'AGENTOS_AUDIT_CHECKPOINTS',
  'AGENTOS_STACK_ID', 'AGENTOS_REGION', 'AGENTOS_PEERS_FILE', 'AGENTOS_FED_PEER_URL', 'AGENTOS_FED_SERVER_CERT', 'AGENTOS_FED_SERVER_KEY', 'AGENTOS_FED_CA_CERT', 'AGENTOS_FED_CLIENT_CERT', 'AGENTOS_FED_CLIENT_KEY', 'AGENTOS_FED_REQUIRE_MTLS',
  'AGENTOS_API_KEY', 'AGENTOS_SERVICE_TOKEN', 'AGENTOS_MODE', 'AGENTOS_PROFILE',
];
const IS_OF_ONE_NODE = new Set(OF_ONE_NODE.flatMap((name) => [name, `${name}_FILE`]));

/** In the order of starting. */
export function nodesOf(settings: Settings): readonly Settings[] {
  return settings.profile === 'federated' ? [settings, secondNode(settings)] : [settings];
}

/** Those that are there, whatever the profile says now: what has to be stopped and removed. */
export function nodesThere(settings: Settings): readonly Settings[] {
  return settings.profile === 'federated' || isStateFolder(secondHome(settings.home)) ? [settings, secondNode(settings)] : [settings];
}

export const secondHome = (home: string): string => path.join(home, SECOND_NODE);

/** @throws CliError where a value of its own settings cannot be. */
export function secondNode(first: Settings): Settings {
  const home = secondHome(first.home);
  const envFile = path.join(home, '.agentos.env');
  const own = existsSync(envFile) ? new Set(parseEnvFile(readFileSync(envFile, 'utf8')).lines.map((line) => line.name)) : new Set<string>();
  const shared: NodeJS.ProcessEnv = {};
  // Its own file goes before what the first one's file says, and the caller's environment before both.
  if (existsSync(first.envFile)) for (const { name, value } of parseEnvFile(readFileSync(first.envFile, 'utf8')).lines) if (!own.has(name)) shared[name] = value;
  const passed = Object.fromEntries(Object.entries({ ...shared, ...first.env }).filter(([name]) => !IS_OF_ONE_NODE.has(name)));
  const peerPort = first.config.values.AGENTOS_FED_PEER_PORT;
  const ports = { AGENTOS_AGENT_ORCHESTRATOR_PORT: first.ports['agent-orchestrator'], AGENTOS_MODEL_POLICY_PORT: first.ports['model-policy'], AGENTOS_FEDERATION_PORT: first.ports.federation, AGENTOS_FED_PEER_PORT: peerPort, AGENTOS_GATEWAY_PORT: first.config.values.AGENTOS_GATEWAY_PORT };
  const env: NodeJS.ProcessEnv = {
    ...passed,
    ...Object.fromEntries(Object.entries(ports).filter(([name]) => !own.has(name)).map(([name, port]) => [name, String(port + PORT_OFFSET)])),
    AGENTOS_HOME: home, AGENTOS_ENV_FILE: envFile, AGENTOS_REPORTS_DIR: first.reportsDir, AGENTOS_PROFILE: 'federated', AGENTOS_MODE: first.mode,
  };
  return loadSettings({ node: SECOND_NODE, asBroughtUp: first.asBroughtUp }, env);
}

/** What stands before the name of a service, a check, a line: nothing for the first node. */
export const prefixOf = (node: Settings): string => (node.node === 'node-a' ? '' : `${node.node}/`);

/** Does it for one node after the other; what is told of the second one carries its name. */
export async function onEach(nodes: readonly Settings[], tell: (detail: string) => void, work: (node: Settings, tell: (detail: string) => void, index: number) => Promise<string>): Promise<string> {
  const details: string[] = [];
  for (const [index, node] of nodes.entries()) {
    const word = node.node === 'node-a' ? '' : `${node.node}: `;
    details.push(`${word}${await work(node, (detail) => tell(`${word}${detail}`), index)}`);
  }
  return details.join('; ');
}

/** `node-b/model-policy` → the node and the word after it; the first node where none is named. */
export function splitNode(nodes: readonly Settings[], word: string): { readonly node: Settings; readonly name: string } {
  const node = nodes.find((each) => each.node === word || word.startsWith(`${each.node}/`));
  return node === undefined ? { node: nodes[0]!, name: word } : { node, name: word.slice(node.node.length + 1) };
}

/** Everything that has a log and can be restarted, as people name it. */
export function sourceNames(nodes: readonly Settings[]): readonly string[] {
  return nodes.flatMap((node) => logSourceNames().map((name) => `${prefixOf(node)}${name}`));
}
