/**
 * `.agentos.env`: settings a person may edit. Made once with every default and a word on each, never overwritten.
 * It is read by `services/platform/config`, here and in the services alike.
 */
import { writeFileSync } from 'node:fs';
import { VARIABLES } from '../../services/platform/config/variables.ts';

export interface EnvFileDefaults {
  readonly mode: 'demo' | 'dev' | 'prod';
}

/** Writes the file unless there is one. True when it was written. */
export function ensureEnvFile(file: string, defaults: EnvFileDefaults): boolean {
  try {
    writeFileSync(file, renderEnvFile(defaults), { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

type Name = (typeof VARIABLES)[number]['name'];

/** The settings that people change, by topic; the rest is in docs/reference. */
const SECTIONS: ReadonlyArray<readonly [string, readonly Name[]]> = [
  ['Where the services listen.', ['AGENTOS_AGENT_ORCHESTRATOR_PORT', 'AGENTOS_MODEL_POLICY_PORT', 'AGENTOS_FEDERATION_PORT', 'AGENTOS_POSTGRES_PORT']],
  ['Limits of tenants that have none of their own.', ['AGENTOS_QUOTA_RUN_CREATE_QPS', 'AGENTOS_QUOTA_CONCURRENT_RUNS', 'AGENTOS_QUOTA_INVOKE_QPS']],
  ['How the services work.', ['AGENTOS_LOG_LEVEL', 'AGENTOS_WORKER_CONCURRENCY', 'AGENTOS_DB_POOL_SIZE']],
];

/** Each setting is written as a comment with its default, so that a later default is not held back by an old file. */
export function renderEnvFile(defaults: EnvFileDefaults): string {
  const sections = SECTIONS.map(([title, names]) => [`# ${title}`, ...names.flatMap(row), ''].join('\n'));
  const tenant = defaults.mode === 'prod' ? [] : ['# Tenant of requests that name none.', '# AGENTOS_DEFAULT_TENANT=tnt_demo', ''];
  return `# Settings of this AgentOS node. Made once by "agentos up" and never overwritten: edit it, then run "agentos up" again.
# Precedence: command-line flag, then the process environment, then this file, then defaults.
# Every secret NAME may also be given as NAME_FILE, the path of a file that holds it.

# The mode; without this line it stays what agentos up was last given.
# demo: identity by header, loopback only. dev: an API key or a token is needed. prod: verified credentials only.
${defaults.mode === 'demo' ? '# ' : ''}AGENTOS_MODE=${defaults.mode}

${tenant.join('\n')}
${sections.join('\n')}
# A Postgres server of your own, in place of the embedded one.
# DATABASE_URL=postgres://user:password@127.0.0.1:5432/agentos

# An OpenAI-compatible model server beside the built-in offline model.
# OPENAI_BASE_URL=http://127.0.0.1:8000/v1
# OPENAI_API_KEY_FILE=/path/of/a/file/with/the/key
`;
}

function row(name: Name): readonly string[] {
  const variable = VARIABLES.find((entry) => entry.name === name);
  const value = variable !== undefined && 'default' in variable ? String(variable.default) : '';
  return [`# ${name}=${value}`];
}
