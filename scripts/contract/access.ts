/** `specs/schemas/scopes.json` and `roles.json`, and what each operation asks for → who may call what, as data and as a page. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundles } from './bundle.ts';
import { aliasOf, isPlanned, listOperations, type OperationView } from './openapi.ts';
import { type GeneratedFiles, markdownHeader, type ServiceName, services, specsFolder, typescriptHeader } from './paths.ts';

interface ScopeRow {
  readonly platform: boolean;
  readonly description: string;
}

interface RoleRow {
  readonly description: string;
  readonly tenancy: 'platform' | 'tenant';
  readonly principal_types: readonly string[];
  readonly aliases: readonly string[];
  readonly scopes: readonly string[];
}

/** Who may what: scopes, their coarser names, and roles. */
export interface Access {
  readonly scopes: Readonly<Record<string, ScopeRow>>;
  readonly aliases: Readonly<Record<string, readonly string[]>>;
  readonly roles: Readonly<Record<string, RoleRow>>;
}

export const NO_ACCESS: Access = { scopes: {}, aliases: {}, roles: {} };

/** None of it for specs of the time before there were roles. */
export function readAccess(folder = specsFolder): Access {
  if (!existsSync(join(folder, 'schemas', 'roles.json'))) return NO_ACCESS;
  const read = <T>(name: string): T => JSON.parse(readFileSync(join(folder, 'schemas', name), 'utf8')) as T;
  const { scopes, aliases } = read<Pick<Access, 'scopes' | 'aliases'>>('scopes.json');
  const { roles } = read<Pick<Access, 'roles'>>('roles.json');
  refuseUnknown({ scopes, aliases, roles });
  return { scopes, aliases, roles };
}

/** A role or alias that names no scope would give nothing without a word; one of a tenant that names a platform scope would give too much. */
function refuseUnknown({ scopes, aliases, roles }: Access): void {
  const named = [...Object.entries(aliases), ...Object.entries(roles).map(([name, role]) => [name, role.scopes] as const)];
  for (const [name, list] of named) {
    for (const scope of list) if (scopes[scope] === undefined) throw new Error(`${name} stands for the scope ${scope}, which specs/schemas/scopes.json does not have.`);
  }
  for (const [name, role] of Object.entries(roles)) {
    const beyond = role.tenancy === 'tenant' ? role.scopes.filter((scope) => scopes[scope]!.platform) : [];
    if (beyond.length > 0) throw new Error(`The role ${name} belongs to one tenant and has ${beyond.join(', ')}, which reach beyond it.`);
  }
  for (const scope of Object.keys(scopes)) {
    if (!Object.values(roles).some((role) => role.scopes.includes(scope))) throw new Error(`No role of specs/schemas/roles.json has the scope ${scope}, so no key could be given it.`);
  }
}

export function generateAccess(bundles: Bundles): GeneratedFiles {
  const access = readAccess();
  return new Map([
    ['generated/handlers/access.ts', accessModule(access, bundles)],
    ['docs/reference/access.md', accessPage(access, bundles)],
  ]);
}

/** Roles that hold every scope the operation asks for. */
function rolesOf({ node }: OperationView, { roles }: Access): string[] {
  const needed = (node['x-agentos-scopes'] ?? []) as string[];
  return Object.keys(roles).filter((role) => needed.every((scope) => roles[role]!.scopes.includes(scope)));
}

function accessModule(access: Access, bundles: Bundles): string {
  const names = Object.keys(access.scopes);
  const list = (values: readonly string[]): string => `[${values.map((value) => `'${value}'`).join(', ')}]`;
  const roles = Object.entries(access.roles).map(([name, role]) => {
    const members = `tenancy: '${role.tenancy}', principalTypes: ${list(role.principal_types)}, aliases: ${list(role.aliases)}, scopes: ${list(role.scopes)}`;
    return `  /** ${role.description} */\n  ${name}: { ${members} },`;
  });
  const rows = services.flatMap((service) => listOperations(bundles[service]).map((operation) => `  ${operationRow(service, operation, access)},`));
  return `${typescriptHeader()}
/** Scopes that a tenant's own users and services may hold. */
export const TENANT_SCOPES = ${list(names.filter((name) => !access.scopes[name]!.platform))} as const;

/** Scopes that reach beyond one tenant; never implied. */
export const PLATFORM_SCOPES = ${list(names.filter((name) => access.scopes[name]!.platform))} as const;

export const SCOPES = [...TENANT_SCOPES, ...PLATFORM_SCOPES] as const;

/** Coarser names that older clients send, and what they stand for. */
export const SCOPE_ALIASES = {
${Object.entries(access.aliases).map(([name, stands]) => `  '${name}': ${list(stands)},`).join('\n')}
} as const;

export const ROLES = {
${roles.join('\n')}
} as const satisfies Readonly<Record<string, RoleAccess>>;

/** Every operation of the contract, aliases and planned ones included, and who may call it. */
export const OPERATION_ACCESS: readonly OperationAccess[] = [
${rows.join('\n')}
];

export type Scope = (typeof SCOPES)[number];
export type Role = keyof typeof ROLES;

export interface RoleAccess {
  /** Roles of the platform are given by holders of \`tenants:admin\` only. */
  readonly tenancy: 'platform' | 'tenant';
  readonly principalTypes: readonly string[];
  /** Other names of the role. */
  readonly aliases: readonly string[];
  readonly scopes: readonly Scope[];
}

export interface OperationAccess {
  readonly service: ${services.map((service) => `'${service}'`).join(' | ')};
  /** Names repeat between services. */
  readonly operationId: string;
  /** The operation that this one is another path of. */
  readonly aliasOf: string | null;
  readonly method: string;
  readonly path: string;
  readonly planned: boolean;
  readonly tenancy: 'none' | 'tenant' | 'platform';
  /** All are needed. */
  readonly scopes: readonly Scope[];
  /** Roles that hold all of them. Where \`tenancy\` is none, no credential is needed at all. */
  readonly roles: readonly Role[];
}
`;
}

function operationRow(service: ServiceName, operation: OperationView, access: Access): string {
  const { node } = operation;
  const text = (value: unknown): string => (Array.isArray(value) ? `[${value.map(text).join(', ')}]` : typeof value === 'string' ? `'${value}'` : String(value));
  const row = {
    service,
    operationId: operation.operationId,
    aliasOf: aliasOf(operation),
    method: operation.method.toUpperCase(),
    path: operation.path,
    planned: isPlanned(operation),
    tenancy: node['x-agentos-tenancy'],
    scopes: node['x-agentos-scopes'] ?? [],
    roles: rolesOf(operation, access),
  };
  return `{ ${Object.entries(row).map(([name, value]) => `${name}: ${text(value)}`).join(', ')} }`;
}

function accessPage(access: Access, bundles: Bundles): string {
  const roleNames = Object.keys(access.roles);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = (columns: readonly string[], rows: readonly string[][]): string => [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
  const scopeRows = Object.entries(access.scopes).map(([name, row]) => [
    `\`${name}\``, row.platform ? 'platform' : 'tenant', row.description, roleNames.filter((role) => access.roles[role]!.scopes.includes(name)).map((role) => `\`${role}\``).join(' '),
  ]);
  const roleRows = Object.entries(access.roles).map(([name, row]) => [`\`${name}\``, row.tenancy, row.principal_types.join(', '), row.aliases.map((alias) => `\`${alias}\``).join(' '), row.description]);
  const sections = services.map((service) => {
    const rows = listOperations(bundles[service]).filter((operation) => aliasOf(operation) === null).map((operation) => {
      const may = rolesOf(operation, access);
      const open = operation.node['x-agentos-tenancy'] === 'none';
      const scopes = (operation.node['x-agentos-scopes'] ?? []) as string[];
      return [`\`${operation.operationId}\``, scopes.map((scope) => `\`${scope}\``).join(' '), ...roleNames.map((role) => (open ? 'open' : may.includes(role) ? 'yes' : ''))];
    });
    return `### ${bundles[service].info.title}\n\n${table(['operation', 'scopes', ...roleNames.map((role) => `\`${role}\``)], rows)}`;
  });
  return `${markdownHeader()}# Who may do what

A credential holds the scopes that it was given or, without any, those of its roles. An operation asks for all of its scopes.
A key holds no scope that the roles of its principal do not have. Roles and scopes of the platform are given by holders of
\`tenants:admin\` only. Both sets grow: an unknown name gives nothing.

## Roles

${table(['role', 'of', 'for', 'also called', 'what it is'], roleRows)}

## Scopes

${table(['scope', 'reaches', 'what it allows', 'roles that have it'], scopeRows)}

Coarser names that older clients send: ${Object.entries(access.aliases).map(([name, stands]) => `\`${name}\` stands for ${stands.map((scope) => `\`${scope}\``).join(', ')}`).join('; ')}.

## Operations

Second paths of an operation are left out: they ask for the same. \`open\` needs no credential.

${sections.join('\n\n')}
`;
}
