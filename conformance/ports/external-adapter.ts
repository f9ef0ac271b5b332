/**
 * Somebody else's adapter: a file whose default export is a factory (README.md, "From outside this repository"). Says
 * in its own words what a file lacks, before the suite could stumble over it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AgentOsError } from '../../services/platform/errors.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import { ROOT, methodsOf, portsOnDisk } from './adapters.ts';
import { HARNESS_MEMBERS, type Harness, type PortFactory, type PortHarnesses, type PortName } from './contract.ts';
import { freshTenant } from './fixtures.ts';

/** What `create` is given, so that an adapter outside this repository need import nothing of it. */
export interface AdapterKit {
  /** What adapters throw: `new AgentOsError(code, { message, details? })`. */
  readonly AgentOsError: typeof AgentOsError;
  /** An auth context of a tenant nobody used before. */
  newTenant(): AuthContext;
}

/** The default export of an adapter's file. `newTenant` and `dispose` may be left out of the harness. */
export interface ExternalFactory<Name extends PortName = PortName> {
  readonly port: Name;
  /** Equal to what `capabilities().adapter` says. */
  readonly adapter: string;
  create(kit: AdapterKit): Promise<ExternalHarness<Name>> | ExternalHarness<Name>;
}

export type ExternalHarness<Name extends PortName> = Omit<PortHarnesses[Name], keyof Harness> & Partial<Harness>;

/** The file cannot be used; the suite was not run. */
export class AdapterFileError extends Error {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'AdapterFileError';
  }
}

export async function loadAdapter(file: string, port: PortName): Promise<PortFactory> {
  const factory = factoryOf(await importFile(file), file, port);
  const create = async (): Promise<PortHarnesses[PortName]> => {
    const harness = await factory.create({ AgentOsError, newTenant: () => freshTenant() });
    return checkedHarness(harness, port, file);
  };
  // Once ahead of the suite: what is missing is said plainly and not as the failure of every test.
  let first: PortHarnesses[PortName];
  try {
    first = await create();
  } catch (error) {
    if (error instanceof AdapterFileError) throw error;
    throw new AdapterFileError(`create() of ${file} failed: ${messageOf(error)}`, { cause: error });
  }
  await first.dispose();
  return { port, adapter: factory.adapter, create };
}

async function importFile(file: string): Promise<Record<string, unknown>> {
  if (!existsSync(file)) throw new AdapterFileError(`There is no file ${file}.`);
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    throw new AdapterFileError(`${file} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
}

function factoryOf(module: Record<string, unknown>, file: string, port: PortName): ExternalFactory {
  const factory = module['default'] as Partial<ExternalFactory> | undefined;
  const form = `export default { port: '${port}', adapter: 'my-name', async create(kit) { return { ${HARNESS_MEMBERS[port].join(', ')} }; } }`;
  if (typeof factory !== 'object' || factory === null) {
    const named = Object.keys(module).filter((name) => name !== 'default');
    throw new AdapterFileError(`${file} has no default export that is a factory${named.length === 0 ? '' : ` (it exports ${named.join(', ')})`}. It looks like this: ${form}`);
  }
  if (factory.port !== port) throw new AdapterFileError(`The factory of ${file} is for the port '${String(factory.port)}', and --port says '${port}'.`);
  if (typeof factory.adapter !== 'string' || !/^[a-z][a-z0-9-]*$/.test(factory.adapter)) throw new AdapterFileError(`The factory of ${file} has no \`adapter\`: the adapter's name, in lower case with hyphens, as capabilities() says it.`);
  if (typeof factory.create !== 'function') throw new AdapterFileError(`The factory of ${file} has no function \`create\`. It looks like this: ${form}`);
  return factory as ExternalFactory;
}

/** @throws AdapterFileError that names the members and methods that are missing. */
function checkedHarness(harness: unknown, port: PortName, file: string): PortHarnesses[PortName] {
  if (typeof harness !== 'object' || harness === null) throw new AdapterFileError(`create() of ${file} answered ${harness === null ? 'null' : typeof harness}; it answers an object that holds ${HARNESS_MEMBERS[port].join(', ')}.`);
  const given = harness as Record<string, unknown>;
  const missing = HARNESS_MEMBERS[port].filter((member) => given[member] === undefined);
  if (missing.length > 0) throw new AdapterFileError(`What create() of ${file} answers lacks ${missing.join(', ')}; for the port ${port} it holds ${HARNESS_MEMBERS[port].join(', ')}.`);
  const [member] = HARNESS_MEMBERS[port];
  const { file: portFile } = portsOnDisk().find((candidate) => candidate.port === port)!;
  const instance = given[member] as Record<string, unknown>;
  const absent = methodsOf(readFileSync(join(ROOT, portFile), 'utf8')).filter((method) => typeof instance[method] !== 'function');
  if (absent.length > 0) throw new AdapterFileError(`The ${member} of ${file} has no ${absent.map((method) => `${method}()`).join(', ')}; the port is described in ${portFile}.`);
  return { newTenant: async () => freshTenant(), dispose: async () => undefined, ...given } as unknown as PortHarnesses[PortName];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
