/**
 * What every adapter of every port must do, whatever the port is for: declare itself truly, speak this version of the
 * contract, keep a stranger's question from telling anything, and turn a store or service that is away into the
 * platform's words, in time, and come back by itself.
 *
 * `commonSuite` runs beside the port's own suite, for adapters of this repository and for those of others alike.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../generated/types/error-codes.ts';
import { AgentOsError } from '../../services/platform/errors.ts';
import { PORT_CONTRACT_MAJOR, requireContract } from '../../services/platform/port.ts';
import { verifies } from '../http/verifies.ts';
import { instanceOf, KNOWN_FEATURES, type Harness, type PortHarnesses, type PortName, type RunStoreHarness } from './contract.ts';
import { elapsedMs, expectCapabilities, rejection } from './fixtures.ts';
import { probes } from './probes.ts';

type Under = () => Harness;

export function commonSuite<Name extends PortName>(port: Name, create: () => Promise<PortHarnesses[Name]>): void {
  describe('contract', () => {
    let harness: PortHarnesses[Name] | undefined;
    beforeAll(async () => {
      harness = await create();
    });
    afterAll(() => harness?.dispose());
    const under = () => harness!;
    describe('declaration', () => declaration(port, under));
    describe('errors', () => errors(port, under));
    describe('outage', () => outage(port, under));
    if (['run-state', 'queue', 'events'].includes(port)) describe('waking', () => waking(port, under as () => RunStoreHarness));
  });
}

function declaration(port: PortName, under: Under): void {
  const capabilities = () => instanceOf(port, under() as never).capabilities();

  it('declares what it is, the same each time it is asked', verifies(['PRS-11.2-01', 'PRS-5.3-01'], () => {
    const first = capabilities();
    expectCapabilities(first);
    (first.features as string[]).push('mischief');
    expect(capabilities().features, 'what one caller does to the answer must not reach the next').not.toContain('mischief');
    expect({ ...capabilities() }).toEqual({ ...first, features: first.features.filter((feature) => feature !== 'mischief') });
  }));

  it('declares only features that the port knows', () => {
    expect(capabilities().features.filter((feature) => !KNOWN_FEATURES[port].includes(feature)), `known to ${port}: ${KNOWN_FEATURES[port].join(', ') || 'none'}`).toEqual([]);
  });

  it('speaks this version of the contract; another major would be refused before anything starts', verifies(['PRS-11.2-01'], () => {
    const declared = capabilities();
    expect(() => requireContract(port, declared)).not.toThrow();
    for (const contractVersion of [`${PORT_CONTRACT_MAJOR + 1}.0`, '0.9', '1', 'latest']) {
      expect(() => requireContract(port, { ...declared, contractVersion })).toThrow(new RegExp(`'${declared.adapter}' speaks version ${contractVersion.replace('.', '\\.')} of the port ${port}`));
    }
  }));
}

function errors(port: PortName, under: Under): void {
  it('refuses in registered codes, with words for the reader and nothing of its insides', verifies(['PRS-11.2-01', 'PRS-4.3-09'], async () => {
    const tenant = await under().newTenant();
    for (const [name, ask] of Object.entries(probes[port].refused)) {
      expectPlatformError(await rejection(ask(under() as never, tenant)), name);
    }
  }));

  it("answers another tenant's object as one that does not exist", verifies(['PRS-11.2-02', 'PRS-13-09'], async ({ skip }: { skip: (note: string) => void }) => {
    const { foreign } = probes[port];
    if (foreign === null) return skip('the port has no objects that a tenant makes through it');
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const made = await foreign.make(under() as never, owner);
    for (const [name, ask] of Object.entries(foreign.ask)) {
      const [theirs, absent] = await Promise.all([outcome(ask(under() as never, stranger, made)), outcome(ask(under() as never, stranger, foreign.absent))]);
      expect(theirs.replaceAll(made, '<id>'), name).toBe(absent.replaceAll(foreign.absent, '<id>'));
      expect(theirs, `${name}: forbidden would tell that it is there`).not.toMatch(/"forbidden"|"unauthorized"/);
    }
  }));
}

/** What a caller could tell from an answer or a refusal. */
async function outcome(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    (value) => JSON.stringify({ value: value ?? null }),
    (error: unknown) => JSON.stringify(error instanceof AgentOsError ? { code: error.code, message: error.message, details: error.details } : { thrown: String(error) }),
  );
}

function expectPlatformError(error: AgentOsError, what: string): void {
  expect(Object.keys(ERROR_CODES), what).toContain(error.code);
  expect(error.code, `${what} is nobody's bug`).not.toBe('internal_error');
  expect(error.message.length, what).toBeGreaterThan(10);
  expect(typeof error.retryable, what).toBe('boolean');
  const told = JSON.stringify([error.message, error.details]);
  expect(told, `${what} tells of the adapter's insides`).not.toMatch(/\bat .+\.[jt]s:\d+|node_modules|SELECT |INSERT INTO|UPDATE .+ SET|relation "|duplicate key|postgres:\/\/|password/i);
}

function outage(port: PortName, under: Under): void {
  it('says in time that its store is away, and works again when it is back', verifies(['PRS-11.2-01', 'HLD-10.1-01'], async ({ skip }: { skip: (note: string) => void }) => {
    const { outage } = under();
    if (outage === undefined) return skip('the harness has no store that could be away');
    const tenant = await under().newTenant();
    const { read } = probes[port];
    const before = await outcome(read(under() as never, tenant));
    await outage.begin();
    try {
      for (let i = 0; i < 3; i += 1) {
        const took = await elapsedMs(async () => {
          const error = await rejection(read(under() as never, tenant));
          expectPlatformError(error, 'a store that is away');
          expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true });
        });
        expect(took, 'a caller is not left waiting').toBeLessThan(outage.limitMs);
      }
    } finally {
      await outage.end();
    }
    // A connection that broke while it was idle may be noticed only by the first who uses it.
    let after = await outcome(read(under() as never, tenant));
    for (let left = 20; after !== before && left > 0; left -= 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      after = await outcome(read(under() as never, tenant));
    }
    expect(after).toBe(before);
  }));
}

function waking(port: PortName, under: () => RunStoreHarness): void {
  it('wakes waiters of other processes, if it says so', async ({ skip }) => {
    const declared = instanceOf(port, under() as never).capabilities().features;
    if (!declared.includes('cross_process_wake')) return skip('it does not declare cross_process_wake');
    expect(under().restart, 'a harness of an adapter that reaches other processes must offer restart()').toBeDefined();
    const tenant = await under().newTenant();
    const { run } = await probes['run-state'].queuedRun(under(), tenant);
    const other = await under().restart!();
    try {
      const signal = AbortSignal.timeout(10_000);
      // Listening begins in the background: announcements are repeated until one is heard.
      const heard = Promise.all([other.events.wait(tenant, run, { after: 1, maxWaitMs: 10_000, signal }), other.queue.waitForWork(10_000, signal)]);
      const repeat = setInterval(() => {
        under().events.announce(tenant, run, 2);
        under().queue.enqueue(tenant, run);
      }, 50);
      const took = await elapsedMs(() => heard);
      clearInterval(repeat);
      expect(took).toBeLessThan(8_000);
    } finally {
      await other.close();
    }
  });
}
