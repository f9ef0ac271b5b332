import type { CliPrincipals, PrincipalRecord } from '../../generated/types/index.ts';
import { accountsOf, actionOf, everyPage, listOf, needed, table } from '../lib/administration.ts';
import type { Command } from '../lib/command.ts';
import { EXIT } from '../lib/errors.ts';
import { NODE_OPTION } from '../lib/one-node.ts';

const ACTIONS = ['list', 'get', 'put', 'delete'] as const;

export const command: Command = {
  name: 'principals',
  summary: 'Administer the people and programs of a tenant: list, show, put, delete',
  args: [
    { usage: '<action>', summary: 'list, show, put (create or replace) or delete' },
    { usage: '[principal_id]', summary: 'who; not with list' },
  ],
  options: [
    { flags: '--tenant <id>', summary: 'the tenant (default: that of AGENTOS_API_KEY, else the node\'s default tenant)' },
    { flags: '--type <type>', summary: 'put: user or service (default: service for ids that begin with svc_)' },
    { flags: '--role <roles>', summary: 'put: its roles, separated by commas (default: tenant_user, or tenant_service)' },
    { flags: '--name <name>', summary: 'put: its name for people' },
    NODE_OPTION,
  ],
  examples: [
    'agentos principals put usr_ada --tenant tnt_acme --role tenant_admin --name Ada',
    'agentos principals put svc_orders --tenant tnt_acme',
    'agentos principals list --tenant tnt_acme',
    'agentos principals delete usr_ada --tenant tnt_acme',
  ],
  async run(context, args, options) {
    const { output } = context;
    const action = actionOf('principals', ACTIONS, args[0], { show: 'get' });
    const accounts = accountsOf(context, options);
    if (action === 'list') {
      const principals = (await everyPage(accounts, `${accounts.base}/principals`, `the principals of ${accounts.where} could not be listed`, 'principals', 'principal_id')) as unknown as readonly PrincipalRecord[];
      const rows = principals.map((principal) => [principal.principal_id, principal.principal_type, principal.roles.join(' '), principal.display_name]);
      output.result({ command: 'principals', action, principals: [...principals] } satisfies CliPrincipals, table(output.style, ['PRINCIPAL', 'TYPE', 'ROLES', 'NAME'], rows, `no principals in ${accounts.where}`));
      return EXIT.ok;
    }
    const principalId = needed(args[1], 'the id of the principal', `agentos principals ${action === 'get' ? 'show' : action} usr_ada`);
    const path = `${accounts.base}/principals/${encodeURIComponent(principalId)}`;
    if (action === 'delete') {
      const keysRevoked = (await accounts.call(path, `${principalId} could not be deleted`, { method: 'DELETE' }))['keys_revoked'] as number;
      output.result({ command: 'principals', action, deleted: principalId, keys_revoked: keysRevoked } satisfies CliPrincipals, `${principalId} is deleted, ${keysRevoked} of its keys revoked`);
      return EXIT.ok;
    }
    const type = typeof options['type'] === 'string' ? options['type'] : principalId.startsWith('svc_') ? 'service' : 'user';
    const request = { principal_type: type, roles: listOf(options['role']) ?? [`tenant_${type}`], ...(typeof options['name'] === 'string' ? { display_name: options['name'] } : {}) };
    const answer = action === 'get' ? await accounts.call(path, `${principalId} could not be read`) : await accounts.call(path, `${principalId} could not be put`, { method: 'PUT', body: request });
    const principal = answer['principal'] as PrincipalRecord;
    output.result({ command: 'principals', action, principal } satisfies CliPrincipals, `${principal.principal_id}, ${principal.principal_type}, roles: ${principal.roles.join(' ') || 'none'}`);
    return EXIT.ok;
  },
};
