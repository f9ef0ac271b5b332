/**
 * Every adapter on disk goes through its port's suite. An adapter without a factory, a factory without an adapter, a
 * port without a suite and an adapter under a wrong name all fail here.
 */
import { describe, expect, it } from 'vitest';
import { verifies } from '../http/verifies.ts';
import { adaptersOnDisk, factoriesOnDisk, portsOnDisk } from './adapters.ts';
import { commonSuite } from './every-port.ts';
import { instanceOf, type PortFactory, type PortHarnesses, type PortName } from './contract.ts';
import { suites } from './suites/index.ts';

const ports = portsOnDisk();
const { adapters, misnamed } = adaptersOnDisk(ports);
const factoryNames = factoriesOnDisk();
const suiteOf = suites as Readonly<Record<string, ((create: () => Promise<PortHarnesses[PortName]>) => void) | undefined>>;

describe('ports and adapters on disk', () => {
  it('have a suite for every port', verifies(['PRS-11.2-01', 'PRS-5.3-01'], () => {
    expect(ports.length).toBeGreaterThanOrEqual(10);
    expect(ports.filter((port) => suiteOf[port.port] === undefined).map((port) => port.file)).toEqual([]);
    expect(Object.keys(suites).filter((name) => !ports.some((port) => port.port === name)), 'suites of ports that are gone').toEqual([]);
  }));

  it('have a factory for every adapter', () => {
    const missing = adapters.filter((adapter) => !factoryNames.includes(`${adapter.port}-${adapter.adapter}`));
    expect(missing.map((adapter) => `${adapter.file} needs conformance/ports/factories/${adapter.port}-${adapter.adapter}.ts`)).toEqual([]);
  });

  it('have an adapter for every factory', () => {
    expect(factoryNames.filter((name) => !adapters.some((adapter) => `${adapter.port}-${adapter.adapter}` === name))).toEqual([]);
  });

  it('are named <port>-<name>.ts', () => {
    expect(misnamed).toEqual([]);
  });

  it('have at least two adapters a port of stored state, Postgres among them', verifies(['PRS-5.1-01', 'PRS-13-08'], () => {
    for (const port of ['run-state', 'queue', 'events', 'agents', 'memory', 'directory', 'replica']) {
      const names = adapters.filter((adapter) => adapter.port === port).map((adapter) => adapter.adapter).sort();
      expect(names, port).toEqual(expect.arrayContaining(['memory', 'postgres']));
    }
  }));
});

for (const name of factoryNames) {
  const { default: factory } = (await import(`./factories/${name}.ts`)) as { default: PortFactory };
  const unavailable = (await factory.unavailable?.()) ?? null;
  describe.skipIf(unavailable !== null)(`${factory.port} · ${factory.adapter}`, () => {
    it('is the adapter that its file says', async () => {
      expect(`${factory.port}-${factory.adapter}`).toBe(name);
      const harness = await factory.create();
      try {
        expect(instanceOf(factory.port, harness).capabilities().adapter).toBe(factory.adapter);
      } finally {
        await harness.dispose();
      }
    });
    commonSuite(factory.port, () => factory.create());
    suiteOf[factory.port]!(() => factory.create());
  });
}
