/** Settings that cannot be used stop a service before it opens anything. */
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compose as agentOrchestrator } from '../../services/agent-orchestrator/compose.ts';
import { compose as federation } from '../../services/federation/compose.ts';
import { compose as modelPolicy } from '../../services/model-policy/compose.ts';
import { ConfigError, loadConfig } from '../../services/platform/config/load.ts';
import { planNode } from '../harness/environment.ts';

/** Stands where the database would be and counts who comes. */
let connections = 0;
const nobody = createServer((socket) => {
  connections += 1;
  socket.destroy();
});
beforeAll(async () => {
  nobody.listen(0, '127.0.0.1');
  await once(nobody, 'listening');
});
afterAll(() => nobody.close());

const ISSUER = 'https://issuer.test';
const services = { 'agent-orchestrator': agentOrchestrator, 'model-policy': modelPolicy, federation };
const wrong: ReadonlyArray<readonly [string, Record<string, string>, string]> = [
  ['an issuer without a key', { AGENTOS_JWT_ISSUER: 'acme' }, 'AGENTOS_JWT_JWKS_URI'],
  ['an issuer with two keys', { AGENTOS_JWT_ISSUER: ISSUER, AGENTOS_JWT_JWKS_URI: 'https://issuer.test/keys', AGENTOS_JWT_PUBLIC_KEY: 'x' }, 'AGENTOS_JWT_JWKS_URI'],
  ['a key without an issuer', { AGENTOS_JWT_JWKS_URI: 'https://issuer.test/keys' }, 'AGENTOS_JWT_ISSUER'],
];

describe.each(Object.entries(services))('%s', (_name, compose) => {
  const start = (env: Record<string, string>): Promise<unknown> => {
    const databaseUrl = `postgres://nobody@127.0.0.1:${(nobody.address() as AddressInfo).port}/none`;
    const plan = planNode({ databaseUrl, ports: [0, 0, 0], env });
    return compose(loadConfig({ env: plan.env, envFile: null }), pino({ level: 'silent' })).then(
      (service) => service.close().then(() => 'it started'),
      (error: unknown) => error,
    );
  };

  it.each(wrong)('refuses %s before it asks the database', async (_what, env, variable) => {
    connections = 0;
    const error = await start(env);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ variable, message: expect.stringContaining('AGENTOS_JWT_ISSUER') as string });
    expect(connections).toBe(0);
  });

  it('asks the database when they are right', async () => {
    connections = 0;
    let refused: unknown = null;
    // It may go on asking for a while; that it asks is enough to know that its settings were taken.
    void start({}).then((error) => (refused = error));
    await expect.poll(() => connections, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(refused).not.toBeInstanceOf(ConfigError);
  });
});
