import type { CliTenants, Tenant } from '../../generated/types/index.ts';
import { actionOf, administration, everyPage, needed, objectOf, table, type Administration, type Body } from '../lib/administration.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { NODE_OPTION } from '../lib/one-node.ts';

const ACTIONS = ['list', 'get', 'create', 'update', 'suspend', 'resume', 'delete', 'restore'] as const;
type Action = (typeof ACTIONS)[number];

export const command: Command = {
  name: 'tenants',
  summary: 'Administer tenants: list, show, create, update, suspend, resume, delete, restore',
  args: [
    { usage: '<action>', summary: 'list, show, create, update, suspend, resume, delete or restore' },
    { usage: '[tenant_id]', summary: 'the tenant; not with list' },
  ],
  options: [
    { flags: '--name <name>', summary: 'create, update: its name for people' },
    { flags: '--plan <tier>', summary: 'create, update: its plan tier' },
    { flags: '--set <json>', summary: 'create, update: further members, e.g. quotas and entitlements' },
    { flags: '--file <file>', summary: 'create, update: the same from a file; - is standard input' },
    { flags: '--reason <text>', summary: 'suspend: why; it stands in the audit' },
    { flags: '--grace-hours <n>', summary: 'delete: hours until its data goes, in place of the node\'s; 0 is at once and for good' },
    { flags: '--yes-really', summary: 'delete: without it nothing is touched' },
    NODE_OPTION,
  ],
  examples: [
    'agentos tenants create tnt_acme --name "Acme Corp"',
    `agentos tenants update tnt_acme --set '{"quotas":{"runs":{"max_concurrent_runs":5}}}'`,
    'agentos tenants suspend tnt_acme --reason "invoice overdue"',
    'agentos tenants delete tnt_acme --yes-really',
  ],
  async run(context, args, options) {
    const action = actionOf('tenants', ACTIONS, args[0], { show: 'get' });
    if (action === 'delete') return remove(context, idOf(args, action), options);
    const node = administration(context, options);
    const { output } = context;
    if (action === 'list') {
      const tenants = (await everyPage(node, '/v1/admin/tenants', 'the tenants could not be listed', 'tenants', 'tenant_id')) as unknown as readonly Tenant[];
      const rows = tenants.map((tenant) => [tenant.tenant_id, tenant.status, tenant.plan_tier, tenant.name, tenant.deletion == null ? '' : `deleted after ${tenant.deletion.purge_after}`]);
      output.result({ command: 'tenants', action, tenants: [...tenants] } satisfies CliTenants, table(output.style, ['TENANT', 'STATUS', 'PLAN', 'NAME', ''], rows, 'no tenants'));
      return EXIT.ok;
    }
    const tenant = await one(node, action, idOf(args, action), options);
    output.result({ command: 'tenants', action, tenant } satisfies CliTenants, action === 'get' ? JSON.stringify(tenant, null, 2) : `${tenant.tenant_id} is ${tenant.status}`);
    if (action === 'create') output.note(`next: an administrator and a key for it: npx agentos principals put usr_ada --tenant ${tenant.tenant_id} --role tenant_admin, then npx agentos keys create --tenant ${tenant.tenant_id} --principal usr_ada`);
    if (action === 'update') output.note(`npx agentos tenants show ${tenant.tenant_id} tells all that holds now`);
    return EXIT.ok;
  },
};

function idOf(args: readonly string[], action: Action): string {
  return needed(args[1], 'the id of the tenant', `agentos tenants ${action === 'get' ? 'show' : action} tnt_acme${action === 'delete' ? ' --yes-really' : ''}`);
}

async function one(node: Administration, action: Exclude<Action, 'list' | 'delete'>, tenantId: string, options: OptionValues): Promise<Tenant> {
  const path = `/v1/admin/tenants/${encodeURIComponent(tenantId)}`;
  const ask = async (what: string, to: string, request: { readonly method?: 'POST' | 'PATCH'; readonly body?: Body } = {}): Promise<Tenant> =>
    (await node.call(to, `${tenantId} could not be ${what}`, request))['tenant'] as Tenant;
  if (action === 'get') return ask('read', path);
  if (action === 'create') return ask('created', '/v1/admin/tenants', { method: 'POST', body: { tenant_create: { ...membersOf(options), tenant_id: tenantId } } });
  if (action === 'update') return ask('updated', path, { method: 'PATCH', body: membersOf(options) });
  if (action === 'suspend') return ask('suspended', `${path}:suspend`, { method: 'POST', body: typeof options['reason'] === 'string' ? { reason: options['reason'] } : {} });
  return ask(action === 'resume' ? 'resumed' : 'restored', `${path}:${action}`, { method: 'POST' });
}

function membersOf(options: OptionValues): Body {
  const { name, plan } = options;
  return { ...objectOf(options), ...(typeof name === 'string' ? { name } : {}), ...(typeof plan === 'string' ? { plan_tier: plan } : {}) };
}

async function remove(context: CommandContext, tenantId: string, options: OptionValues): Promise<typeof EXIT.ok> {
  if (!context.global.yesReally) {
    throw new CliError(`deleting ${tenantId} removes its runs, agents, memory, keys and all else; nothing was touched`, { exitCode: EXIT.usage, evidence: ['it can be restored until its time of grace is over'], next: `agentos tenants delete ${tenantId} --yes-really` });
  }
  const id = encodeURIComponent(tenantId);
  const { graceHours } = options;
  const grace = typeof graceHours === 'string' ? `&grace_hours=${encodeURIComponent(graceHours)}` : '';
  const answer = await administration(context, options).call(`/v1/admin/tenants/${id}?confirm=${id}${grace}`, `${tenantId} could not be deleted`, { method: 'DELETE' });
  const purgeAfter = String(answer['purge_after']);
  context.output.result({ command: 'tenants', action: 'delete', deleted: tenantId, purge_after: purgeAfter } satisfies CliTenants, `${tenantId} is refused from now on; its data is deleted after ${purgeAfter}\nundo: npx agentos tenants restore ${tenantId}`);
  return EXIT.ok;
}
