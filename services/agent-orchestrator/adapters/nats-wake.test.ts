/** Hints over a real NATS server: they travel, a NATS that goes and comes costs polls and nothing else. */
import { setMaxListeners } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planNats, natsUnavailable, type TestNats } from '../../../conformance/harness/nats.ts';
import { NatsWake, natsAddress } from './nats-wake.ts';

const unavailable = await natsUnavailable();
const never = new AbortController().signal;
setMaxListeners(0, never);
/** Far beyond what a hint takes, far below what the waiters of these tests wait for themselves. */
const PROMPT_MS = 3_000;

interface Process {
  readonly wake: NatsWake;
  until(connected: boolean): Promise<void>;
}

function start(url: string, scope = 'test'): Process {
  let connected: boolean | null = null;
  let changed: () => void = () => undefined;
  const wake = new NatsWake({ url, scope: async () => scope, onConnected: (now) => ((connected = now), changed()) });
  return {
    wake,
    async until(wanted) {
      while (connected !== wanted) await new Promise<void>((resolve) => (changed = resolve));
    },
  };
}

async function elapsed(wait: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await wait;
  return performance.now() - startedAt;
}

/** A process that has just come is asked who else is there; hints go out once it knows. */
async function untilHeard(from: NatsWake, to: NatsWake): Promise<void> {
  for (let sequence = 1; ; sequence += 1) {
    from.announceRun('tnt_probe', 'run_probe', sequence);
    if ((await elapsed(to.waitForRun('tnt_probe', 'run_probe', sequence - 1, 400, never))) < 350) return;
    if (sequence > 40) throw new Error('No hint came through.');
  }
}

describe.skipIf(unavailable !== null)('hints over NATS', () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await planNats();
  });
  afterAll(() => nats?.stop());

  it('wait for a server that is away at the start, survive its death, and are heard again', async () => {
    const [one, two] = [start(nats.url), start(nats.url)];
    try {
      await Promise.all([one.until(false), two.until(false)]);
      expect(await elapsed(two.wake.waitForRun('tnt_a', 'run_a', 0, 200, never)), 'a waiter looks for itself').toBeLessThan(PROMPT_MS);
      one.wake.announceRun('tnt_a', 'run_a', 1);
      await nats.start();
      await Promise.all([one.until(true), two.until(true)]);
      await untilHeard(one.wake, two.wake);

      const work = elapsed(two.wake.waitForWork(20_000, never));
      one.wake.announceWork();
      expect(await work).toBeLessThan(PROMPT_MS);

      await nats.kill();
      await Promise.all([one.until(false), two.until(false)]);
      one.wake.announceRun('tnt_a', 'run_b', 2);
      const woken = elapsed(two.wake.waitForRun('tnt_a', 'run_b', 1, 20_000, never));
      await nats.start();
      await Promise.all([one.until(true), two.until(true)]);
      expect(await woken, 'what was sent meanwhile cannot be repeated by a server that came back empty, so everybody looks').toBeLessThan(PROMPT_MS + 5_000);
      await untilHeard(one.wake, two.wake);
    } finally {
      await Promise.all([one.wake.close(), two.wake.close()]);
    }
  });

  it('of one moment are heard by all, however many there are', async () => {
    const [one, two] = [start(nats.url), start(nats.url)];
    try {
      await Promise.all([one.until(true), two.until(true)]);
      await untilHeard(one.wake, two.wake);
      const waits = Array.from({ length: 3_000 }, (_, i) => two.wake.waitForRun('tnt_many', `run_${i}`, 4, 20_000, never));
      for (let i = 0; i < 3_000; i += 1) one.wake.announceRun('tnt_many', `run_${i}`, 5);
      expect(await elapsed(Promise.all(waits))).toBeLessThan(PROMPT_MS);
      expect(two.wake.waiting).toBe(0);
    } finally {
      await Promise.all([one.wake.close(), two.wake.close()]);
    }
  });

  it('of another database are not heard', async () => {
    const [one, two, other] = [start(nats.url), start(nats.url), start(nats.url, 'other')];
    try {
      await Promise.all([one.until(true), two.until(true), other.until(true)]);
      await untilHeard(one.wake, two.wake);
      const heard = elapsed(other.wake.waitForRun('tnt_a', 'run_c', 0, 600, never));
      one.wake.announceRun('tnt_a', 'run_c', 1);
      expect(await heard).toBeGreaterThanOrEqual(590);
    } finally {
      await Promise.all([one.wake.close(), two.wake.close(), other.wake.close()]);
    }
  });

  it('that a process missed while it was cut off reach it afterwards, and wake nobody else', async () => {
    const way = await startWay(nats.url);
    const [one, two] = [start(nats.url), start(way.url)];
    try {
      await Promise.all([one.until(true), two.until(true)]);
      await untilHeard(one.wake, two.wake);
      const left = new AbortController();
      const missed = elapsed(two.wake.waitForRun('tnt_a', 'run_missed', 0, 20_000, never));
      let disturbed = false;
      const bystander = two.wake.waitForRun('tnt_a', 'run_other', 0, 20_000, left.signal).then(() => (disturbed = !left.signal.aborted));
      way.cut();
      await two.until(false);
      one.wake.announceRun('tnt_a', 'run_missed', 1);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await way.open();
      await two.until(true);
      expect(await missed).toBeLessThan(PROMPT_MS + 5_000);
      await untilHeard(one.wake, two.wake);
      expect(disturbed, 'thousands of readers need not look because one connection broke').toBe(false);
      left.abort();
      await bystander;
    } finally {
      await Promise.all([one.wake.close(), two.wake.close()]);
      way.cut();
    }
  });

  it('end when asked to, also with a server that answers nothing', async () => {
    const one = start(nats.url);
    await one.until(true);
    nats.freeze();
    one.wake.announceWork();
    try {
      expect(await elapsed(one.wake.close())).toBeLessThan(PROMPT_MS + 2_000);
    } finally {
      nats.resume();
    }
  });
});

describe('the address of a NATS server', () => {
  it('may carry credentials, several servers, and TLS', () => {
    expect(natsAddress('nats://127.0.0.1:4222')).toEqual({ servers: ['127.0.0.1:4222'] });
    expect(natsAddress('nats://ann:p%40ss@a:4222, b:4223')).toEqual({ servers: ['a:4222', 'b:4223'], user: 'ann', pass: 'p@ss' });
    expect(natsAddress('tls://token@a:4222')).toEqual({ servers: ['a:4222'], token: 'token', tls: {} });
  });
});

/** A way to NATS that can be cut and opened again. */
async function startWay(target: string): Promise<{ readonly url: string; cut(): void; open(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let listener: Server;
  let listens = 0;
  const open = async (): Promise<void> => {
    listener = createServer((client) => {
      const server = connect(Number(port), hostname);
      for (const [socket, other] of [[client, server], [server, client]] as const) {
        sockets.add(socket);
        socket.on('error', () => other.destroy()).on('close', () => other.destroy());
        socket.pipe(other);
      }
    });
    await new Promise<void>((resolve) => listener.listen(listens, '127.0.0.1', resolve));
    listens = (listener.address() as AddressInfo).port;
  };
  await open();
  return {
    url: `nats://127.0.0.1:${listens}`,
    open,
    cut() {
      listener.close();
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
  };
}
