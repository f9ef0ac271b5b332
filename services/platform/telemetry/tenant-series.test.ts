import fc from 'fast-check';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { createMetrics } from './metrics.ts';
import { OTHER_TENANTS, TenantSeries } from './tenant-series.ts';

const WINDOW_MS = 1_000;

/** One counter of two values, with a clock that the test moves. */
function subject(limit: number, always: readonly string[] = []) {
  const registry = new Registry();
  const clock = { nowMs: 0 };
  const series = new TenantSeries({ registry, limit, always, windowMs: WINDOW_MS, now: () => clock.nowMs });
  const counter = series.counter({ name: 'things_total', help: 'Things.' }, 'result', ['ok', 'failed']);
  return {
    registry, clock, series,
    add: (tenantId: string, times = 1) => {
      for (let i = 0; i < times; i += 1) counter.add(series.of(tenantId), 'ok');
    },
    /** What a reader sees of `ok`, by tenant. */
    read: async () => {
      const metric = registry.getSingleMetric('things_total');
      const { values } = (await metric!.get()) as { values: { labels: Record<string, string>; value: number }[] };
      return new Map(values.filter(({ labels }) => labels['result'] === 'ok').map(({ labels, value }) => [labels['tenant_id']!, value]));
    },
  };
}

describe('series of tenants', () => {
  it('are for who comes first, while there are places, and for whom the configuration names', verifies(['PRS-9.2-10'], async () => {
    const { add, read } = subject(2, ['tnt_named']);
    add('tnt_a');
    add('tnt_b', 2);
    add('tnt_c', 3);
    add('tnt_d', 4);
    expect(await read()).toEqual(new Map([['tnt_named', 0], ['tnt_a', 1], ['tnt_b', 2], [OTHER_TENANTS, 7]]));
  }));

  it('are nobody’s where they are switched off', async () => {
    const { add, series, registry } = subject(0);
    add('tnt_a');
    expect(series.holders).toEqual([]);
    expect(await registry.metrics()).toBe('\n');
  });

  it('go over to who does far more, which is shown at zero before it counts for itself', async () => {
    const { add, read, clock } = subject(2);
    add('tnt_quiet', 3);
    add('tnt_busy', 500);
    add('tnt_new', 100);
    expect(await read()).toEqual(new Map([['tnt_quiet', 3], ['tnt_busy', 500], [OTHER_TENANTS, 100]]));
    clock.nowMs += WINDOW_MS;
    add('tnt_quiet');
    expect(await read(), 'who goes is shown with all that it did, and what who comes did before stays where it was counted').toEqual(new Map([['tnt_quiet', 4], ['tnt_busy', 500], ['tnt_new', 0], [OTHER_TENANTS, 100]]));
    add('tnt_new', 7);
    add('tnt_quiet', 2);
    expect(await read()).toEqual(new Map([['tnt_busy', 500], ['tnt_new', 7], [OTHER_TENANTS, 102]]));
  });

  it('do not change hands for a little more, nor before the window is over, nor those that are named', async () => {
    const { add, read, clock, series } = subject(1, ['tnt_named']);
    add('tnt_a', 100);
    add('tnt_b', 150);
    clock.nowMs += WINDOW_MS;
    await read();
    expect(series.holders).toEqual(['tnt_named', 'tnt_a']);
    add('tnt_b', 1_000);
    await read();
    expect(series.holders, 'the window has only begun').toEqual(['tnt_named', 'tnt_a']);
    clock.nowMs += WINDOW_MS;
    await read();
    expect(series.holders).toEqual(['tnt_named', 'tnt_b']);
  });

  it('go on where they ended when a tenant comes back', async () => {
    const { add, read, clock } = subject(1);
    add('tnt_a', 40);
    add('tnt_b', 200);
    clock.nowMs += WINDOW_MS;
    await read();
    expect([...(await read()).keys()]).toEqual(['tnt_b', OTHER_TENANTS]);
    add('tnt_a', 1_000);
    clock.nowMs += WINDOW_MS;
    expect(await read()).toEqual(new Map([['tnt_a', 40], ['tnt_b', 0], [OTHER_TENANTS, 1_200]]));
    add('tnt_a', 2);
    expect((await read()).get('tnt_a')).toBe(42);
  });

  it('never go backwards and never lose an event, whoever comes and goes', verifies(['PRS-9.2-10', 'PRS-15.5-02'], async () => {
    const event = fc.record({ tenant: fc.integer({ min: 0, max: 11 }), times: fc.integer({ min: 1, max: 400 }), waitMs: fc.constantFrom(0, 0, 300, WINDOW_MS), reads: fc.boolean() });
    await fc.assert(fc.asyncProperty(fc.array(event, { maxLength: 120 }), async (events) => {
      const { add, read, clock, registry } = subject(3);
      // Places are taken, so that whoever comes has to take one over.
      for (const tenant of ['a', 'b', 'c']) add(`tnt_${tenant}`);
      let before = await read();
      const highest = new Map(before);
      let [added, increased] = [0, 0];
      for (const { tenant, times, waitMs, reads } of events) {
        add(`tnt_${tenant}`, times);
        added += times;
        clock.nowMs += waitMs;
        if (!reads) continue;
        const now = await read();
        for (const [label, value] of now) {
          expect(value, `${label} went back`).toBeGreaterThanOrEqual(highest.get(label) ?? 0);
          // As Prometheus sees it: what was shown once is continued, what appears begins with what it shows.
          increased += value - (before.get(label) ?? highest.get(label) ?? 0);
          highest.set(label, value);
        }
        before = now;
        expect(now.size).toBeLessThanOrEqual(7);
      }
      for (const [label, value] of await read()) increased += value - (before.get(label) ?? highest.get(label) ?? 0);
      expect(increased).toBe(added);
      registry.clear();
    }), { numRuns: 300 });
  }));
});

describe('ten thousand tenants', () => {
  async function serving(tenants: number, rounds: number) {
    const metrics = createMetrics({ service: 'agent-orchestrator', process: false, tenants: { limit: 50 } });
    for (let round = 0; round < rounds; round += 1) {
      for (let tenant = 0; tenant < tenants; tenant += 1) {
        metrics.observeHttp({ operation: 'createRun', method: 'POST', status: 201, durationSeconds: 0.001, tenantId: `tnt_${tenant}` });
        if (tenant % 7 === 0) metrics.observeRefusal({ code: 'rate_limited', reason: undefined, tenantId: `tnt_${tenant}` });
      }
    }
    return metrics;
  }

  const seriesOf = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('agentos_tenant_'));

  async function readingMs(metrics: Awaited<ReturnType<typeof serving>>): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < 15; i += 1) {
      const startedMs = performance.now();
      await metrics.render(true);
      times.push(performance.now() - startedMs);
    }
    return times.sort((a, b) => a - b)[7]!;
  }

  it('make no more series than sixty do, and metrics are read as fast', verifies(['PRS-9.2-10', 'PRS-15.5-02'], async () => {
    const [few, many] = [await serving(60, 100), await serving(10_000, 3)];
    const [fewSeries, manySeries] = [seriesOf(await few.render(true)), seriesOf(await many.render(true))];
    expect(manySeries.length).toBe(fewSeries.length);
    expect(new Set(manySeries.map((line) => /tenant_id="([^"]+)"/.exec(line)![1])).size).toBe(51);
    expect(await readingMs(many)).toBeLessThan(5 * (await readingMs(few)) + 5);
  }));

  it('stand in no metric that is read without the right to see them', async () => {
    const text = await (await serving(10_000, 1)).render();
    expect(text).toContain('agentos_http_requests_total');
    expect(text).not.toMatch(/tnt_|agentos_tenant_/);
  });

  it('all count: what has no series of its own is in the others', async () => {
    const text = await (await serving(10_000, 1)).render(true);
    const total = seriesOf(text).filter((line) => line.startsWith('agentos_tenant_requests_total')).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    expect(total).toBe(10_000);
  });
});

describe('what attribution costs', () => {
  const EVENTS = 100_000;
  const tenants = Array.from({ length: 1_000 }, (_, tenant) => `tnt_${tenant}`);

  /** Nanoseconds of one observation of a request, the best of several rounds. */
  function costOfRequest(limit: number): number {
    const metrics = createMetrics({ service: 'agent-orchestrator', process: false, tenants: { limit } });
    const seen = tenants.map((tenantId) => ({ operation: 'createRun', method: 'POST', status: 201, durationSeconds: 0.001, tenantId }));
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 8; round += 1) {
      const startedMs = performance.now();
      for (let i = 0; i < EVENTS / seen.length; i += 1) for (const each of seen) metrics.observeHttp(each);
      best = Math.min(best, ((performance.now() - startedMs) * 1e6) / EVENTS);
    }
    return best;
  }

  it('is a look into a map', () => {
    const [without, within] = [costOfRequest(0), costOfRequest(50)];
    console.info(`observing a request: ${without.toFixed(0)} ns without attribution, ${within.toFixed(0)} ns with (× ${(within / without).toFixed(2)})`);
    expect(within).toBeLessThan(without * 8);
  });

  it('is no memory', () => {
    const { series } = subject(50);
    const counter = series.counter({ name: 'more_total', help: 'More.' }, 'result', ['ok', 'failed']);
    const grown: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      const before = process.memoryUsage().heapUsed;
      // No iterator: a loop that is not compiled yet would leave one for each turn.
      for (let i = 0; i < EVENTS; i += 1) counter.add(series.of(tenants[i % tenants.length]!), 'ok');
      grown.push(process.memoryUsage().heapUsed - before);
    }
    console.info(`attributing an event leaves ${(Math.min(...grown.map(Math.abs)) / EVENTS).toFixed(2)} bytes`);
    expect(Math.min(...grown.map(Math.abs)) / EVENTS).toBeLessThan(12);
  });
});
