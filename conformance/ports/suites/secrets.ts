/** What every SecretsPort must do: answer the newest value with its version, to the node alone, and fail in words that give nothing away. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { KeeperMode, SecretsHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, freshTenant, rejection } from '../fixtures.ts';

const VALUE = 'canary-5d1e0c "quoted" $HOME \\ ü';

/** Longer than an adapter's own patience in its harness. */
const LIMIT_MS = 8_000;

export function secretsSuite(create: () => Promise<SecretsHarness>): void {
  let harness: SecretsHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());

  describe('secrets', () => reading(() => harness!));
  describe('a keeper', () => failing(() => harness!));
}

function reading(under: () => SecretsHarness): void {
  it('declares what it is', () => {
    expectCapabilities(under().secrets.capabilities());
  });

  it('answers a secret as it was stored, with a version that says nothing of it', verifies(['PRS-10.2-02'], async () => {
    const { secrets, put } = under();
    const { value, version } = await secrets.get(null, await put('plain', VALUE));
    expect(value).toBe(VALUE);
    expect(version).not.toBe('');
    expect(version).not.toContain('canary');
    expect(await secrets.get(null, await put('multi', 'line 1\nline 2'))).toMatchObject({ value: 'line 1\nline 2' });
  }));

  it('answers the newest value, and another version with it where the keeper has versions', async () => {
    const { secrets, put } = under();
    const name = await put('turning', 'first');
    const first = await secrets.get(null, name);
    expect(await secrets.get(null, name)).toEqual(first);
    expect(await put('turning', 'second, which is longer')).toBe(name);
    const second = await secrets.get(null, name);
    expect(second.value).toBe('second, which is longer');
    if (secrets.capabilities().adapter !== 'environment') expect(second.version).not.toBe(first.version);
  });

  it('answers many at once', async () => {
    const { secrets, put } = under();
    const names = await Promise.all(Array.from({ length: 20 }, (_, index) => put(`many-${index}`, `value ${index}`)));
    expect((await Promise.all(names.map((name) => secrets.get(null, name)))).map((each) => each.value)).toEqual(names.map((_, index) => `value ${index}`));
  });

  it('has nothing for tenants', verifies(['PRS-11.2-02'], async () => {
    const { secrets, put } = under();
    const error = await rejection(secrets.get(freshTenant(), await put('of-the-node', VALUE)));
    expect(error).toMatchObject({ code: 'not_found', retryable: false });
  }));

  it('says that a secret, or its field, is not there', async ({ skip }) => {
    const { secrets, put, remove } = under();
    const name = await put('short-lived', VALUE);
    await remove('short-lived');
    expect(await rejection(secrets.get(null, name))).toMatchObject({ code: 'not_found', details: { reason: 'secret_missing' } });
    if (!secrets.capabilities().features.includes('fields')) return skip('it has no fields');
    const other = (await put('fielded', VALUE)).replace(/#.+$/, '#no-such-field');
    const error = await rejection(secrets.get(null, other));
    expect(error).toMatchObject({ code: 'not_found', details: { reason: 'secret_missing' } });
    expect(error.message).toContain('no-such-field');
    expect(error.message).not.toContain('canary');
  });
}

function failing(under: () => SecretsHarness): void {
  const faults: ReadonlyArray<readonly [KeeperMode, string, boolean]> = [
    ['forbids', 'forbidden', false],
    ['away', 'dependency_unavailable', true],
    ['rate-limited', 'rate_limited', true],
    ['babbles', 'dependency_unavailable', true],
    ['silent', 'timeout', true],
  ];
  it.for(faults)('that %s is told of as %s, in time, and works again afterwards', verifies(['PRS-11.2-01'], async ([mode, code, retryable]: (typeof faults)[number], { skip }: { skip: (note: string) => void }) => {
    const { secrets, put, setKeeper } = under();
    if (setKeeper === undefined) return skip('its keeper is this process or its disk');
    const name = await put('kept', VALUE);
    await setKeeper(mode);
    const took = await elapsedMs(async () => {
      const error = await rejection(secrets.get(null, name));
      expect(error).toMatchObject({ code, retryable });
      expect(JSON.stringify([error.message, error.details])).not.toContain('canary');
    });
    expect(took).toBeLessThan(LIMIT_MS);
    await setKeeper('answers');
    expect((await secrets.get(null, name)).value).toBe(VALUE);
  }));

  it('is not waited for by those who gave up', async ({ skip }) => {
    const { secrets, put, setKeeper } = under();
    if (setKeeper === undefined) return skip('its keeper is this process or its disk');
    const name = await put('kept', VALUE);
    await setKeeper('silent');
    const took = await elapsedMs(() => rejection(secrets.get(null, name, { signal: AbortSignal.timeout(50) })).catch(() => undefined));
    await setKeeper('answers');
    expect(took).toBeLessThan(1_500);
  });
}
