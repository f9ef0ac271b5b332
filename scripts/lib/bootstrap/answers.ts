/**
 * What `agentos bootstrap` has to know before it can set a node up for prod: from flags, and from whoever sits at the
 * terminal for what the flags leave open. Where nobody does, everything that is missing is named at once.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { validators as schemas } from '../../../generated/validators/schemas.js';
import { validators as operations } from '../../../generated/validators/agent-orchestrator.js';
import type { OptionValues } from '../command.ts';
import { CliError, EXIT } from '../errors.ts';
import type { Ask } from '../terminal.ts';

export interface Answers {
  readonly tenantId: string;
  readonly tenantName: string;
  /** Principal id of the tenant's administrator. */
  readonly adminId: string;
  /** Where TLS ends: at proxies with these addresses, or at the services themselves. */
  readonly entrance: { readonly proxies: string } | { readonly certFile: string; readonly keyFile: string };
}

interface Question {
  readonly flag: string;
  /** The option's name as commander gives it. */
  readonly option: string;
  readonly text: string;
  /** Taken where nothing is typed. */
  readonly offered?: string;
  /** What is wrong with a value; null when nothing is. */
  problem(value: string): string | null;
}

/** What the contract says of an identifier, from the validator that has just refused one. */
const misfit = (what: string, { errors }: { errors?: readonly { readonly message?: string }[] | null }): string => `${what} ${errors?.find(({ message }) => message !== undefined)?.message ?? 'is not one'}`;

const TENANT: Question = { flag: '--tenant tnt_acme', option: 'tenant', text: 'Id of the first tenant, e.g. tnt_acme', problem: (value) => (schemas.TenantCreate({ tenant_id: value, name: value, plan_tier: 'standard' }) ? null : misfit("a tenant's id", schemas.TenantCreate)) };
const ADMIN: Question = { flag: '--admin usr_ada', option: 'admin', text: 'Principal id of its administrator, e.g. usr_ada', problem: (value) => (operations.putTenantPrincipal.validatePath!({ tenant_id: 'tnt_any', principal_id: value }) ? null : misfit("a principal's id", operations.putTenantPrincipal.validatePath!)) };
const PROXIES: Question = { flag: '--trusted-proxy loopback', option: 'trustedProxy', text: 'Addresses of the proxies that end TLS, e.g. 10.0.0.0/24', problem: (value) => (value === '' ? 'addresses are needed, or loopback for a proxy on this machine' : null) };
const CERTIFICATE: Question = { flag: '--tls-cert FILE', option: 'tlsCert', text: 'File of the certificate, with its chain (PEM)', problem: isFile };
const KEY: Question = { flag: '--tls-key FILE', option: 'tlsKey', text: 'File of its private key (PEM)', problem: isFile };

const ENTRANCES = `How do callers reach this node?
  1  through a proxy on this machine that ends TLS
  2  through proxies elsewhere that end TLS
  3  directly: the services have a certificate of their own
1, 2 or 3`;

function isFile(value: string): string | null {
  if (value === '') return 'the path of a file is needed';
  return existsSync(value) ? null : `${path.resolve(value)} does not exist`;
}

/** @param ask null where nobody can be asked. @throws CliError usage that names everything that is missing or wrong. */
export async function answersOf(options: OptionValues, ask: Ask | null): Promise<Answers> {
  const given = (option: string): string | undefined => (typeof options[option] === 'string' ? options[option] : undefined);
  const ownCertificate = given('tlsCert') !== undefined || given('tlsKey') !== undefined;
  if (ownCertificate && given('trustedProxy') !== undefined) {
    throw new CliError('TLS ends in one place: at a proxy, or at the services', { exitCode: EXIT.usage, next: 'agentos bootstrap with --trusted-proxy, or with --tls-cert and --tls-key' });
  }
  const wrong: string[] = [];
  const answer = async (question: Question): Promise<string> => {
    const value = given(question.option);
    if (value === undefined && ask !== null) return askUntilRight(ask, question);
    const problem = value !== undefined ? question.problem(value) : question.offered === undefined ? 'missing' : null;
    if (problem !== null) wrong.push(`${question.flag}: ${problem}`);
    return value ?? question.offered ?? '';
  };
  const entrance = await entranceOf(answer, ownCertificate, given('trustedProxy') !== undefined, ask);
  const tenantId = await answer(TENANT);
  const tenantName = await answer({ flag: '--name NAME', option: 'name', text: 'Its name, for people', offered: tenantId, problem: () => null });
  const adminId = await answer(ADMIN);
  if (wrong.length > 0) throw new CliError('agentos bootstrap needs to know more', { exitCode: EXIT.usage, evidence: wrong, next: 'agentos bootstrap --tenant tnt_acme --admin usr_ada --trusted-proxy loopback   (on a terminal it asks)' });
  return { tenantId, tenantName, adminId, entrance };
}

async function entranceOf(answer: (question: Question) => Promise<string>, ownCertificate: boolean, proxies: boolean, ask: Ask | null): Promise<Answers['entrance']> {
  const chosen = ownCertificate ? '3' : proxies || ask === null ? '2' : await askUntilRight(ask, { flag: '', option: '', text: ENTRANCES, offered: '1', problem: (value) => (/^[123]$/.test(value) ? null : '1, 2 or 3') });
  if (chosen === '1') return { proxies: 'loopback' };
  if (chosen === '2') return { proxies: await answer(PROXIES) };
  return { certFile: path.resolve(await answer(CERTIFICATE)), keyFile: path.resolve(await answer(KEY)) };
}

async function askUntilRight(ask: Ask, { text, offered, problem }: Question): Promise<string> {
  for (let prompt = text; ;) {
    const typed = (await ask(offered === undefined ? `${prompt}: ` : `${prompt} [${offered}]: `)).trim();
    const value = typed === '' && offered !== undefined ? offered : typed;
    const wrong = problem(value);
    if (wrong === null) return value;
    prompt = `  ${wrong}\n${text}`;
  }
}
