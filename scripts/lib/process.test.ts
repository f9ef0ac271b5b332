import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { describeHolder, findFreePort, firstFreePort, holderOf, isPortFree } from './ports.ts';
import { commandLineOf, isProcess, isZombie, runCommand, stopProcess } from './process.ts';

const children: ChildProcess[] = [];
afterEach(() => { for (const child of children.splice(0)) child.kill('SIGKILL'); });

async function start(script: string, ...args: readonly string[]): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['-e', script, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child.stdout!, 'data');
  return child as ChildProcess & { pid: number };
}

const POLITE = 'process.stdout.write("up"); setInterval(() => {}, 1000)';
const STUBBORN = `process.on("SIGTERM", () => {}); ${POLITE}`;

describe('processes', () => {
  it('are known by their command line', async () => {
    const child = await start(POLITE, 'mark-of-a-service');
    expect(commandLineOf(child.pid)).toContain('mark-of-a-service');
    expect(isProcess(child.pid, ['mark-of-a-service'])).toBe(true);
    expect(isProcess(child.pid, ['mark-of-a-service', 'another'])).toBe(false);
    for (const pid of [0, 1, -5, Number.NaN, 2 ** 31 - 2]) expect(isProcess(pid, [])).toBe(false);
  });

  it('are not signalled when the pid belongs to somebody else', async () => {
    const child = await start(POLITE, 'bystander');
    expect(await stopProcess(child.pid, ['mark-of-a-service'], 200)).toBe('not_running');
    expect(child.exitCode).toBeNull();
    expect(isProcess(child.pid, ['bystander'])).toBe(true);
  });

  it('get time to stop, and are killed when they do not take it', async () => {
    const polite = await start(POLITE, 'polite-one');
    expect(await stopProcess(polite.pid, ['polite-one'], 5_000)).toBe('stopped');
    const stubborn = await start(STUBBORN, 'stubborn-one');
    expect(await stopProcess(stubborn.pid, ['stubborn-one'], 300)).toBe('killed');
    expect(isProcess(stubborn.pid, ['stubborn-one'])).toBe(false);
  });

  it('that ended but were not collected count as gone', async () => {
    const parent = await start('const c = require("child_process").spawn("sleep", ["0"]); process.stdout.write(String(c.pid)); process.kill(process.pid, "SIGSTOP"); setInterval(() => {}, 1000)');
    const zombie = Number((await runCommand('ps', ['--ppid', String(parent.pid), '-o', 'pid='])).stdout.trim());
    expect(zombie).toBeGreaterThan(1);
    await expect.poll(() => isZombie(zombie), { timeout: 5_000 }).toBe(true);
    expect(isProcess(zombie, [])).toBe(false);
    expect(isZombie(process.pid)).toBe(false);
  });

  it('that cannot be started answer 127, and slow ones are ended', async () => {
    expect((await runCommand('/no/such/program', [])).code).toBe(127);
    const slow = await runCommand('sleep', ['30'], { timeoutMs: 100 });
    expect(slow.code).not.toBe(0);
  });
});

describe('ports', () => {
  it('tell whether they are free, and who holds them', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      expect(await isPortFree(port)).toBe(false);
      expect(holderOf(port)).toMatchObject({ pid: process.pid });
      expect(describeHolder(holderOf(port))).toContain(`pid ${process.pid} (`);
      expect(await firstFreePort(port, 5)).not.toBe(port);
    } finally {
      server.close();
    }
    const free = await findFreePort();
    expect(await isPortFree(free)).toBe(true);
    expect(holderOf(free)).toEqual({ pid: null, command: null });
    expect(describeHolder(holderOf(free))).toContain('may not see');
  });
});
