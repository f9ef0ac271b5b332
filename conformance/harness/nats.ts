/**
 * A NATS server of a test's own, with JetStream, on a free port; it can be killed, stopped in its tracks and started
 * again on the same port. `natsUnavailable` says why there is none: where CI runs, that fails the tests, elsewhere it
 * skips them and says so.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ensureNatsServer } from '../../scripts/lib/nats/nats-server.ts';
import { freePorts } from './free-port.ts';

export interface TestNats {
  /** `nats://127.0.0.1:…` */
  readonly url: string;
  /** Starts it, or starts it again, and waits until it accepts. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** It keeps its sockets and answers nothing, until `resume`. */
  freeze(): void;
  resume(): void;
  stop(): Promise<void>;
}

const START_LIMIT_MS = 10_000;

/** null when there is a NATS server to test with. @throws Error in CI, where nothing may be left out. */
export async function natsUnavailable(): Promise<string | null> {
  try {
    await ensureNatsServer();
    return null;
  } catch (error) {
    const reason = `There is no NATS server to test with: ${(error as Error).message}`;
    if ((process.env['CI'] ?? 'false') !== 'false') throw new Error(reason, { cause: error });
    process.stderr.write(`\nSKIPPED: every test that needs NATS. ${reason}\n`);
    return reason;
  }
}

/** Planned and not yet started. */
export async function planNats(): Promise<TestNats> {
  const program = await ensureNatsServer();
  const [port] = await freePorts(1);
  const folder = mkdtempSync(path.join(tmpdir(), 'agentos-nats-'));
  let child: ChildProcess | null = null;
  const kill = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  };
  return {
    url: `nats://127.0.0.1:${port}`,
    async start() {
      child = spawn(program, ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', folder], { stdio: 'ignore' });
      await untilAccepting(port!, child);
    },
    kill,
    freeze: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function untilAccepting(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`nats-server ended with code ${child.exitCode} while starting.`);
    const socket = connect(port, '127.0.0.1');
    const accepted = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
    socket.destroy();
    if (accepted) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nats-server did not accept connections within ${START_LIMIT_MS} ms.`);
}
