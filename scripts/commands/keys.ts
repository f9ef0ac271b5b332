import { randomUUID } from 'node:crypto';
import type { ApiKey, CliKeys } from '../../generated/types/index.ts';
import { accountsOf, actionOf, everyPage, listOf, needed, table, type AccountsOf, type Body } from '../lib/administration.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { parseDurationMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { NODE_OPTION } from '../lib/one-node.ts';

const ACTIONS = ['list', 'create', 'rotate', 'revoke'] as const;
const DAY_MS = 86_400_000;

export const command: Command = {
  name: 'keys',
  summary: 'Administer API keys: list, create, rotate, revoke',
  args: [
    { usage: '<action>', summary: 'list, create, rotate or revoke' },
    { usage: '[key_id]', summary: 'rotate, revoke: the key' },
  ],
  options: [
    { flags: '--tenant <id>', summary: 'the tenant (default: that of AGENTOS_API_KEY, else the node\'s default tenant)' },
    { flags: '--principal <id>', summary: 'create: whose key it is to be; list: only those of this one' },
    { flags: '--name <name>', summary: 'create: for people to tell keys apart' },
    { flags: '--scope <scopes>', summary: 'create: what it may do, separated by commas (default: what its roles allow)' },
    { flags: '--role <roles>', summary: 'create: roles among those of the principal (default: all of them)' },
    { flags: '--expires <duration>', summary: 'create: how long it lasts, e.g. 12h, 90d (default: for ever)' },
    { flags: '--idempotency-key <key>', summary: 'create, rotate: with the same one again, within an hour and before the key is used, the same key is answered again' },
    { flags: '--overlap <duration>', summary: 'rotate: how long the old key stays good (default: 1h; at most 30d)' },
    NODE_OPTION,
  ],
  examples: [
    'agentos keys create --tenant tnt_acme --principal svc_orders --scope runs:create,runs:read --expires 90d',
    'agentos keys list --tenant tnt_acme',
    'agentos keys rotate key_01JH9Y0QK3M5N7P9R1T2V4W6X8 --tenant tnt_acme --overlap 1d',
    'agentos keys revoke key_01JH9Y0QK3M5N7P9R1T2V4W6X8 --tenant tnt_acme',
  ],
  async run(context, args, options) {
    const action = actionOf('keys', ACTIONS, args[0]);
    const accounts = accountsOf(context, options);
    if (action === 'list') return list(context, accounts, options);
    const idempotencyKey = typeof options['idempotencyKey'] === 'string' ? options['idempotencyKey'] : `agentos-cli-${randomUUID()}`;
    if (action === 'create') return issued(context, action, await repeatable(idempotencyKey, () => accounts.call(`${accounts.base}/keys`, 'the key could not be created', { method: 'POST', body: keyOf(options), idempotencyKey })));
    const keyId = needed(args[1], 'the id of the key', `agentos keys ${action} <key_id>   (agentos keys list shows them)`);
    const path = `${accounts.base}/keys/${encodeURIComponent(keyId)}`;
    if (action === 'rotate') return issued(context, action, await repeatable(idempotencyKey, () => accounts.call(`${path}:rotate`, `${keyId} could not be rotated`, { method: 'POST', body: overlapOf(options), idempotencyKey })));
    const key = (await accounts.call(path, `${keyId} could not be revoked`, { method: 'DELETE' }))['key'] as ApiKey;
    context.output.result({ command: 'keys', action, key } satisfies CliKeys, `${key.key_id} of ${key.principal_id} is revoked`);
    return EXIT.ok;
  },
};

async function list({ output }: CommandContext, accounts: AccountsOf, options: OptionValues): Promise<typeof EXIT.ok> {
  const only = typeof options['principal'] === 'string' ? `?principal_id=${encodeURIComponent(options['principal'])}` : '';
  const keys = (await everyPage(accounts, `${accounts.base}/keys${only}`, `the keys of ${accounts.where} could not be listed`, 'keys', 'key_id')) as unknown as readonly ApiKey[];
  const rows = keys.map((key) => [key.key_id, key.principal_id, key.status, key.name ?? '', mayOf(key), key.expires_at ?? 'never', key.last_used_at ?? 'never']);
  output.result({ command: 'keys', action: 'list', keys: [...keys] } satisfies CliKeys, table(output.style, ['KEY', 'PRINCIPAL', 'STATUS', 'NAME', 'MAY', 'EXPIRES', 'LAST USED'], rows, `no keys in ${accounts.where}`));
  return EXIT.ok;
}

/** What it may do, in a column that people can read; `-o json` has every scope. */
function mayOf({ scopes, roles }: ApiKey): string {
  const words = scopes.length > 0 ? scopes : roles;
  return words.length <= 4 ? words.join(' ') : `${words.slice(0, 3).join(' ')} and ${words.length - 3} more`;
}

/** A key may have been made though its answer was lost: whoever asks again in the same words and with this key is given it. */
async function repeatable(idempotencyKey: string, ask: () => Promise<Body>): Promise<Body> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof CliError) || (error.exitCode !== EXIT.dependency && error.exitCode !== EXIT.timeout)) throw error;
    throw new CliError(error.message, { exitCode: error.exitCode, evidence: [...error.evidence, 'the key may have been made all the same'], next: `the same command with --idempotency-key ${idempotencyKey}`, cause: error });
  }
}

/** The secret alone goes to stdout, so that it can be piped to where it belongs. */
function issued({ output }: CommandContext, action: 'create' | 'rotate', answer: Body): typeof EXIT.ok {
  const key = answer['key'] as ApiKey;
  const { secret } = answer;
  if (typeof secret !== 'string') {
    throw new CliError(`${key.key_id} was made before, and its secret is told no more`, { exitCode: EXIT.gate, evidence: ['it was used since, or an hour has gone by'], next: `agentos keys rotate ${key.key_id} --overlap 0s   (makes a new one in its place)` });
  }
  output.note(`${key.key_id} of ${key.principal_id} in ${key.tenant_id}, ${key.expires_at === null ? 'for ever' : `until ${key.expires_at}`}`);
  output.note(`${output.style('yellow', 'warning:')} the key is kept nowhere but as a hash. Put it where secrets belong.`);
  output.result({ command: 'keys', action, key, secret } satisfies CliKeys, secret);
  return EXIT.ok;
}

function keyOf(options: OptionValues): Body {
  const { name, expires } = options;
  const principal = needed(typeof options['principal'] === 'string' ? options['principal'] : undefined, '--principal', 'agentos keys create --principal usr_ada   (agentos principals put makes one)');
  const [scopes, roles] = [listOf(options['scope']), listOf(options['role'])];
  return {
    principal_id: principal,
    ...(typeof name === 'string' ? { name } : {}),
    ...(scopes === undefined ? {} : { scopes }),
    ...(roles === undefined ? {} : { roles }),
    ...(typeof expires === 'string' ? { expires_at: new Date(Date.now() + durationOf('--expires', expires, 3_650 * DAY_MS)).toISOString() } : {}),
  };
}

function overlapOf(options: OptionValues): Body {
  return typeof options['overlap'] === 'string' ? { overlap_seconds: Math.round(durationOf('--overlap', options['overlap'], 30 * DAY_MS) / 1_000) } : {};
}

function durationOf(flag: string, text: string, maxMs: number): number {
  const ms = parseDurationMs(text);
  if (ms !== null && ms <= maxMs) return ms;
  throw new CliError(`${flag} cannot be "${text}"`, { exitCode: EXIT.usage, evidence: [`a duration of at most ${maxMs / DAY_MS} days, e.g. 12h or 30d`], next: `${flag} 30d` });
}
