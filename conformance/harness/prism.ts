/**
 * Prism over one of our bundled OpenAPI documents: an independent reader of the contract that answers from its
 * examples. It runs inside the calling process, on a free port.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export type ServiceName = 'agent-orchestrator' | 'model-policy' | 'federation';

export interface PrismMock {
  readonly url: string;
  close(): Promise<void>;
}

interface PrismModules {
  createServer(operations: readonly unknown[], options: unknown): { listen(port: number, host: string): Promise<string>; close(): Promise<void> };
  getHttpOperationsFromSpec(file: string): Promise<readonly unknown[]>;
  createLogger(name: string, options: unknown): unknown;
}

/** Prism's parts are dependencies of its CLI, which is the package we depend on; they are found from there. */
function prismModules(): PrismModules {
  const require = createRequire(import.meta.url);
  const fromCli = createRequire(require.resolve('@stoplight/prism-cli/dist/index.js'));
  return {
    ...(fromCli('@stoplight/prism-http-server') as Pick<PrismModules, 'createServer'>),
    ...(fromCli('@stoplight/prism-http') as Pick<PrismModules, 'getHttpOperationsFromSpec'>),
    ...(fromCli('@stoplight/prism-core') as Pick<PrismModules, 'createLogger'>),
  };
}

export async function startPrism(service: ServiceName): Promise<PrismMock> {
  const { createServer, getHttpOperationsFromSpec, createLogger } = prismModules();
  const operations = await getHttpOperationsFromSpec(fileURLToPath(new URL(`../../generated/openapi/${service}.json`, import.meta.url)));
  const server = createServer(operations, {
    cors: false,
    config: { validateRequest: true, validateResponse: true, checkSecurity: false, errors: true, upstreamProxy: undefined, isProxy: false, mock: { dynamic: false } },
    components: { logger: createLogger('prism', { level: 'silent' }) },
  });
  const url = await server.listen(0, '127.0.0.1');
  return { url, close: () => server.close() };
}
