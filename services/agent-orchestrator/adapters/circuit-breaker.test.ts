import { describe, expect, it } from 'vitest';
import { CircuitBreaker, type CircuitOptions, type CircuitState } from './circuit-breaker.ts';

function circuit(options: Partial<CircuitOptions> = {}) {
  let nowMs = 1_000_000;
  const states: CircuitState[] = [];
  const breaker = new CircuitBreaker({ consecutiveFailures: 3, failureRatio: 0.5, minCalls: 10, windowMs: 1_000, openMs: 100, maxOpenMs: 400, now: () => nowMs, onState: (state) => states.push(state), ...options });
  const pass = () => {
    const admission = breaker.enter();
    if (!('pass' in admission)) throw new Error(`It was refused for ${admission.refusedForMs} ms.`);
    return admission.pass;
  };
  const refusedForMs = (): number => {
    const admission = breaker.enter();
    return 'pass' in admission ? 0 : admission.refusedForMs;
  };
  return { breaker, states, pass, refusedForMs, elapse: (ms: number) => (nowMs += ms) };
}

describe('a circuit breaker', () => {
  it('opens after failures in a row, and not when a success stands between them', () => {
    const { breaker, pass, refusedForMs } = circuit();
    for (const outcome of ['failed', 'failed', 'succeeded', 'failed', 'failed'] as const) pass()[outcome]();
    expect(breaker.state).toBe('closed');
    pass().failed();
    expect([breaker.state, refusedForMs()]).toEqual(['open', 100]);
  });

  it('opens when a large share of enough calls fails', () => {
    const { breaker, pass } = circuit();
    for (let i = 0; i < 4; i += 1) {
      pass().failed();
      pass().succeeded();
    }
    pass().failed();
    expect(breaker.state, 'nine calls are too few to judge').toBe('closed');
    pass().failed();
    expect(breaker.state).toBe('open');
  });

  it('forgets what lies behind its window', () => {
    const { breaker, pass, elapse } = circuit();
    for (let i = 0; i < 5; i += 1) {
      pass().failed();
      pass().succeeded();
      elapse(1_100);
    }
    pass().failed();
    expect(breaker.state).toBe('closed');
  });

  it('counts the first outcome of a call alone', () => {
    const { breaker, pass, elapse } = circuit();
    for (let i = 0; i < 3; i += 1) pass().failed();
    elapse(100);
    const probe = pass();
    expect([probe.isProbe, breaker.state]).toEqual([true, 'half_open']);
    probe.succeeded();
    for (let i = 0; i < 3; i += 1) probe.failed();
    expect([pass().isProbe, breaker.state]).toEqual([false, 'closed']);
  });

  it('lets one probe through after the pause, and closes when it succeeds', () => {
    const { breaker, states, pass, refusedForMs, elapse } = circuit();
    for (let i = 0; i < 3; i += 1) pass().failed();
    elapse(100);
    const probe = pass();
    expect(breaker.state).toBe('half_open');
    expect(refusedForMs(), 'one at a time').toBeGreaterThan(0);
    probe.succeeded();
    pass().succeeded();
    expect(states).toEqual(['open', 'half_open', 'closed']);
  });

  it('waits twice as long after each probe that fails, up to its bound, and starts anew after a success', () => {
    const { pass, refusedForMs, elapse } = circuit();
    for (let i = 0; i < 3; i += 1) pass().failed();
    for (const expected of [100, 200, 400, 400]) {
      expect(refusedForMs()).toBe(expected);
      elapse(expected);
      pass().failed();
    }
    elapse(400);
    pass().succeeded();
    for (let i = 0; i < 3; i += 1) pass().failed();
    expect(refusedForMs()).toBe(100);
  });

  it('frees the probe whose caller gave up, and judges nothing by it', () => {
    const { breaker, pass, elapse } = circuit();
    for (let i = 0; i < 3; i += 1) pass().failed();
    elapse(100);
    pass().unknown();
    expect(breaker.state).toBe('half_open');
    pass().succeeded();
    expect(breaker.state).toBe('closed');
    for (let i = 0; i < 20; i += 1) pass().unknown();
    expect(breaker.state).toBe('closed');
  });

  it('is not moved by calls from before it opened', () => {
    const { breaker, pass } = circuit();
    const early = [pass(), pass()];
    for (let i = 0; i < 3; i += 1) pass().failed();
    early[0]!.succeeded();
    early[1]!.failed();
    expect(breaker.state).toBe('open');
  });
});
