/** The edge's arithmetic: rates, bounded memory, and whose word on an address is believed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Gcra } from './gcra.ts';
import { addressGroup, createEdgeLimits } from './limits.ts';
import { normaliseAddress, parseTrustedProxies } from './trusted-proxy.ts';

describe('the rate', () => {
  it('lets through the burst and then the rate, whatever the pattern of calls', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 500, noNaN: true }), fc.integer({ min: 1, max: 50 }), fc.array(fc.double({ min: 0, max: 2_000, noNaN: true }), { maxLength: 200 }), (perSecond, burst, gaps) => {
        const gcra = new Gcra({ perSecond, burst }, 10);
        let now = 1_000;
        const through: number[] = [];
        for (const gap of gaps) {
          now += gap;
          if (gcra.take('a', now).allowed) through.push(now);
        }
        // In no window may there be more than the burst and what the rate gives in its time.
        for (let first = 0; first < through.length; first += 1) {
          for (let last = first; last < through.length; last += 1) {
            const seconds = (through[last]! - through[first]!) / 1_000;
            expect(last - first + 1).toBeLessThanOrEqual(burst + perSecond * seconds + 1e-3);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('says truly when the next call is let through', () => {
    const gcra = new Gcra({ perSecond: 2, burst: 3 }, 10);
    expect([1, 2, 3].map(() => gcra.take('a', 0).remaining)).toEqual([2, 1, 0]);
    const { allowed, retryAfterMs } = gcra.take('a', 0);
    expect([allowed, retryAfterMs]).toEqual([false, 500]);
    expect(gcra.waitMs('a', 0)).toBe(500);
    expect(gcra.take('a', 499).allowed).toBe(false);
    expect(gcra.take('a', 500).allowed).toBe(true);
    expect(gcra.waitMs('unheard', 0)).toBe(0);
  });

  it('remembers no more keys than it may, and forgets those that were silent first', () => {
    const gcra = new Gcra({ perSecond: 0.001, burst: 1 }, 100);
    gcra.take('busy', 0);
    for (let index = 0; index < 100_000; index += 1) {
      gcra.take(`stranger-${index}`, 0);
      if (index % 20 === 0) expect(gcra.take('busy', 0).allowed).toBe(false);
      expect(gcra.size).toBeLessThanOrEqual(100);
    }
  });
});

describe('a credential that was good', () => {
  it('is served for five minutes from an address that is held back, and no longer', () => {
    let now = 1_000;
    const limits = createEdgeLimits({ perAddress: null, perKey: null, refusals: { perSecond: 0.000_01, burst: 2 }, maxKeys: 10 }, () => now);
    const [good, bad] = ['Bearer good', 'Bearer bad'].map((authorization) => limits.identify('203.0.113.7', { authorization }));
    limits.accepted(good!);
    for (let refused = 0; refused < 3; refused += 1) limits.refused(bad!);
    expect(() => limits.admit(bad!, {})).toThrow(/refused/);
    now += 299_000;
    expect(() => limits.admit(good!, {})).not.toThrow();
    now += 2_000;
    expect(() => limits.admit(good!, {})).toThrow(/refused/);
  });
});

describe('an address', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'], ['::ffff:203.0.113.7', '203.0.113.7'], ['::FFFF:203.0.113.7', '203.0.113.7'], ['fe80::1%eth0', 'fe80::1'], ['2001:DB8::1', '2001:db8::1'],
  ])('%s is %s', (written, meant) => expect(normaliseAddress(written)).toBe(meant));

  it.each([
    ['203.0.113.7', '203.0.113.7'], ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'], ['2001:db8::1', '2001:db8:0:0::/64'], ['::1', '0:0:0:0::/64'], ['2001:0db8:0000:0002::', '2001:db8:0:2::/64'], ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
  ])('%s is counted as %s', (address, group) => expect(addressGroup(address)).toBe(group));
});

describe('a trusted proxy', () => {
  const proxies = parseTrustedProxies(['loopback', '10.0.0.0/8', '2001:db8:ffff::/48']);
  it.each([
    ['one hop', '127.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['two hops', '10.0.0.1', '203.0.113.7, 10.2.3.4', '203.0.113.7'],
    ['what the client itself wrote is passed over', '10.0.0.1', '1.1.1.1, 203.0.113.7', '203.0.113.7'],
    ['a proxy of theirs is the client', '10.0.0.1', '203.0.113.7, 198.51.100.4, 10.2.3.4', '198.51.100.4'],
    ['a chain of our own', '10.0.0.1', '10.9.9.9, 10.2.3.4', '10.9.9.9'],
    ['nothing', '10.0.0.1', undefined, '10.0.0.1'],
    ['an empty header', '10.0.0.1', '', '10.0.0.1'],
    ['an empty end', '10.0.0.1', '203.0.113.7,', '10.0.0.1'],
    ['nonsense', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['nonsense behind a proxy', '10.0.0.1', 'unknown, 10.2.3.4', '10.2.3.4'],
    ['ports', '10.0.0.1', '203.0.113.7:4711', '203.0.113.7'],
    ['brackets and ports', '10.0.0.1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['IPv6 all along', '2001:db8:ffff::1', '2001:db8:1::9, 2001:db8:ffff::2', '2001:db8:1::9'],
    ['IPv4 in IPv6', '::ffff:10.0.0.1', '::ffff:203.0.113.7', '203.0.113.7'],
    ['a list in several headers', '10.0.0.1', ['1.1.1.1', '203.0.113.7'], '203.0.113.7'],
    ['a stranger is not asked', '198.51.100.1', '203.0.113.7', '198.51.100.1'],
  ] as const)('%s', (_name, peer, header, client) => expect(proxies.clientAddress(peer, header)).toBe(client));

  it('is asked for no more hops than there are', () => {
    expect(proxies.clientAddress('10.0.0.1', `203.0.113.7, ${'10.1.1.1, '.repeat(10_000)}10.2.2.2`)).toBe('10.1.1.1');
  });

  it.each([['0.0.0.0/0'], ['::/0'], ['10.0.0.0/33'], ['10.0.0.0/'], ['10.0.0.0/8/8'], ['proxy.internal'], ['10.0.0.256'], ['']])('%s is none', (entry) => {
    expect(() => parseTrustedProxies([entry])).toThrow(/AGENTOS_TRUSTED_PROXY/);
  });
});
